"""Stopping on SIGINT and SIGTERM without being interrupted in the middle of anything."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from lram_core.errors import LramError


class Stopped(Exception):
    """The process was asked to stop; the message is the name of the signal."""


class StopRequest:
    """Turns false into true when the process is asked to stop; loops look at it.

    Creating one replaces the handlers of SIGINT and SIGTERM, so it belongs into the main thread,
    as early as possible: before slow imports and loading, which are then left in good order too.
    """

    def __init__(self) -> None:
        self.reason = ""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = signal.Signals(number).name

    def __bool__(self) -> bool:
        return bool(self.reason)

    def check(self) -> None:
        """Raises Stopped once a stop was requested."""
        if self:
            raise Stopped(self.reason)

    def request(self, reason: str) -> None:
        """Ask for a stop from inside the process."""
        self.reason = reason

    def sleep(self, seconds: float, slice_s: float = 0.02) -> None:
        """Sleep for ``seconds``, or less when a stop is requested."""
        end = time.monotonic() + seconds
        while not self and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, slice_s))


@contextmanager
def exit_when_stopped() -> Iterator[None]:
    """Where the block raises Stopped, end as shells expect it: with 128 and the signal's number."""
    try:
        yield
    except Stopped as stopped:
        number = signal.Signals[str(stopped)]
        print(f"stopped by {number.name}; all processes have ended", file=sys.stderr, flush=True)
        sys.exit(128 + number)


def run_process(body: Callable[[StopRequest], None]) -> int:
    """Run a process's main function and return its exit code.

    Args:
        body: is given the stop request, returns soon after it turns true, and raises LramError to
            refuse the job.

    Returns:
        0 when the body returned, 2 when it raised LramError (printed in one line).
    """
    stop = StopRequest()
    try:
        body(stop)
    except LramError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    return 0
