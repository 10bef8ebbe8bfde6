"""What a function changes in its process and gives back: environment and signal handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lram_core.signals import StopRequest


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that hold inside the block alone."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A stop request that takes SIGINT and SIGTERM inside the block; the main thread's alone."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield StopRequest()
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: set outside of Python, which cannot set it again
                signal.signal(number, handler)
