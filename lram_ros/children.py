"""Child processes that never outlive their parent: nodes of a run, started and stopped together."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lram_core.errors import CommandError

LAST_LINES = 15
PATIENCE = ((signal.SIGINT, 10.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
"""What a child is asked to stop with, and how long it may take, in seconds."""

_POLL = 0.02
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def ros_arguments(parameters: Mapping[str, object]) -> list[str]:
    """Command-line arguments that set a node's parameters; strings stay strings (``"5"`` too)."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        arguments += ["-p", f"{name}:={json.dumps(value)}"]
    return arguments


@dataclass
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_lines(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-LAST_LINES:]) or "  (it wrote nothing)"


class Children:
    """Python modules run as processes, each with its output in a log file of its own.

    As a context manager it stops whatever runs at the end, in the order of starting. Each child
    is the head of a session of its own, so a Ctrl-C in the terminal reaches the parent alone,
    which stops the children in good order. If the parent dies without doing so (SIGKILL), the
    kernel interrupts the children; start them from the main thread, which the kernel goes by.
    """

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._children: list[_Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, module: str, arguments: Sequence[str] = ()) -> int:
        """Start ``python -m module arguments`` and return its process id."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=_with_default_signals,
            )
        self._children.append(_Child(name, process, log))
        return process.pid

    def check(self) -> None:
        """Raises CommandError with its last lines if a child has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise CommandError(
                    f"{child.name} has ended ({_ending(code)}); its last lines:\n"
                    f"{child.last_lines()}"
                )

    def last_lines(self, name: str) -> str:
        """The end of a child's output, indented."""
        return next(child.last_lines() for child in self._children if child.name == name)

    def stop(self) -> None:
        """Stop the children one after the other, whatever it takes, and wait for each."""
        children, self._children = self._children, []
        for child in children:
            _stop(child.process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in PATIENCE:
        if process.poll() is not None:
            break
        process.send_signal(number)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(_POLL)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what the child itself may have started


def _with_default_signals() -> None:
    """In the child before it runs: signals as from a fresh shell, SIGINT when the parent dies."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
