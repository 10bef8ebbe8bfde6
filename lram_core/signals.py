"""Stopping on SIGINT and SIGTERM without being interrupted in the middle of anything."""

from __future__ import annotations

import signal
import time
from types import FrameType


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

    def request(self, reason: str) -> None:
        """Ask for a stop from inside the process."""
        self.reason = reason

    def sleep(self, seconds: float, slice_s: float = 0.02) -> None:
        """Sleep for ``seconds``, or less when a stop is requested."""
        end = time.monotonic() + seconds
        while not self and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, slice_s))
