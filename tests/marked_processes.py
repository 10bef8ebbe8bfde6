"""Finds the processes that descend from a test, by a mark in their environment."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = "LRAM_TEST_RUN"


@contextmanager
def marking(monkeypatch) -> Iterator[str]:
    """Marks this process and its descendants; those that are left at the end are killed."""
    value = str(uuid.uuid4())
    monkeypatch.setenv(NAME, value)
    mark = f"{NAME}={value}"
    yield mark
    for pid in marked(mark):  # left over where an assertion failed
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def marked(mark: str) -> dict[int, str]:
    """Command lines of the live processes with the mark, this one left out: pid → text."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if mark.encode() in environment and command:  # a zombie has no command line
            found[int(entry.name)] = command
    return found
