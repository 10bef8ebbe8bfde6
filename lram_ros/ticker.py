"""A control clock: a thread that calls a function at absolute deadlines. Free of rclpy.

The deadlines are of the monotonic clock, so neither a frozen ``/clock`` nor a step of the wall
clock touches them, and a tick that comes late does not shift those after it.
"""

from __future__ import annotations

import ctypes
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_SLICE_NS = 50_000_000
"""Longest sleep in one go: how late :meth:`Ticker.stop` may be noticed at slow rates."""
_PR_SET_TIMERSLACK = 29
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class TickTime:
    """When a tick happens.

    Attributes:
        number: counts the ticks that ran, from 0.
        deadline: when it was due, in seconds of ``time.monotonic``.
        lateness: how long after that it began, in seconds; below one period.
        missed: deadlines that went by unused since the tick before: 0 when all is well.
    """

    number: int
    deadline: float
    lateness: float
    missed: int


class Ticker:
    """Calls ``tick`` at a fixed rate on a thread of its own.

    A deadline that has passed by a whole period or more is skipped and counted, not made up for by
    two ticks in quick succession.

    Args:
        rate: ticks a second, in Hz.
        tick: called with a :class:`TickTime`.
        on_error: called on the thread with what ``tick`` or ``prepare`` raised, traceback
            attached; no tick follows. Without it the error goes to ``threading.excepthook``, which
            prints it.
        prepare: called once on the thread before the first tick, e.g. to ask for a priority.
        name: of the thread.

    Attributes:
        ticks: ticks that have run.
        missed: deadlines that were skipped.
        failure: what ended the ticking, None while all is well.

    Raises:
        ValueError: the rate is not a positive finite number.
    """

    def __init__(
        self,
        rate: float,
        tick: Callable[[TickTime], None],
        on_error: Callable[[BaseException], None] | None = None,
        prepare: Callable[[], None] | None = None,
        name: str = "control",
    ) -> None:
        if not (rate > 0 and math.isfinite(rate)):
            raise ValueError(f"rate must be positive and finite, found {rate}")
        self.rate = rate
        self.ticks = 0
        self.missed = 0
        self.failure: BaseException | None = None
        self._tick = tick
        self._on_error = on_error
        self._prepare = prepare
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def period(self) -> float:
        """Time between two deadlines, in seconds."""
        return 1.0 / self.rate

    @property
    def running(self) -> bool:
        """Whether ticks are still to be expected."""
        return self._thread.is_alive() and not self._stopping.is_set()

    def start(self) -> None:
        """Begin; the first tick is due one period from now. A ticker starts once.

        Raises:
            RuntimeError: it was started before.
        """
        self._thread.start()

    def stop(self) -> None:
        """End the ticking and wait for a tick under way; from any thread, as often as you like.

        Called from inside a tick it returns at once, and that tick is the last.
        """
        self._stopping.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def __enter__(self) -> Ticker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            if self._prepare is not None:
                self._prepare()
            self._loop()
        except BaseException as error:
            self.failure = error
            if self._on_error is None:
                raise
            self._on_error(error)

    def _loop(self) -> None:
        # By default the kernel delays a timer by up to 50 µs to save wake-ups; not this thread's.
        _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
        start, step = time.monotonic_ns(), 1
        while self._sleep_until(due := self._deadline(start, step)):
            missed = int((time.monotonic_ns() - due) * 1e-9 * self.rate)
            if missed:
                self.missed += missed
                step += missed
                due = self._deadline(start, step)
            now = time.monotonic_ns()
            self._tick(TickTime(self.ticks, due * 1e-9, (now - due) * 1e-9, missed))
            self.ticks += 1
            step += 1

    def _deadline(self, start: int, step: int) -> int:
        """Nanoseconds; counted from the start, so that rounding the period adds up to nothing."""
        return start + round(step * 1e9 / self.rate)

    def _sleep_until(self, deadline: int) -> bool:
        """Return at the deadline (ns), True; or early, False, when asked to stop."""
        # A plain sleep: with the slack gone, calling clock_nanosleep directly was no better, and
        # spinning over the last 0.2 ms holds the interpreter while messages want to be received.
        while not self._stopping.is_set():
            left = deadline - time.monotonic_ns()
            if left <= 0:
                return True
            time.sleep(min(left, _SLICE_NS) * 1e-9)
        return False
