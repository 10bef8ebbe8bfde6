"""Notices that nobody ticks any more: a thread of its own, on steady time alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lram_core.errors import ContractError

_LOOKS = 8  # looks a deadline


class Watchdog:
    """Calls back once when nobody has fed it for too long.

    Neither ROS time nor an executor takes part: a frozen ``/clock`` or a blocked callback queue
    does not hold it up. Feeding takes no lock, so it cannot delay a control loop. After it has
    barked it is silent until :meth:`arm` is called: a robot is re-armed on purpose, not by a loop
    that comes back to life.

    Args:
        deadline: seconds without being fed.
        on_expire: called in the watchdog's thread with one line that says what was found.
        clock: steady time in seconds.

    Attributes:
        expired: what was found since it was last armed; empty: nothing.
        failure: what ``on_expire`` raised, if anything.

    Raises:
        ContractError: the deadline is not positive.
    """

    def __init__(
        self,
        deadline: float,
        on_expire: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < deadline < float("inf"):
            raise ContractError(f"watchdog: deadline must be positive, found {deadline}")
        self.deadline = deadline
        self.expired = ""
        self.failure: Exception | None = None
        self._on_expire = on_expire
        self._clock = clock
        self._fed: float | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    def feed(self) -> None:
        """Say that the loop is alive."""
        if self._fed is not None:
            self._fed = self._clock()

    def arm(self) -> None:
        """Watch from now on; forgets what was found before."""
        self.expired = ""
        self._fed = self._clock()

    def disarm(self) -> None:
        """Watch no more: the loop is about to stop on purpose."""
        self._fed = None

    def check(self) -> bool:
        """Look once, as the thread does; return whether it has barked since it was armed."""
        fed = self._fed
        if fed is None or self.expired:
            return bool(self.expired)
        silent = self._clock() - fed
        if silent <= self.deadline:
            return False
        self.expired = f"no tick for {silent:.3g} s (at most {self.deadline:g} s)"
        try:
            self._on_expire(self.expired)
        except Exception as error:  # nobody to raise to; whoever stops the watchdog looks here
            self.failure = error
        return True

    def start(self) -> None:
        """Start the thread, armed."""
        self.arm()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it; not to be called by ``on_expire``."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        # Sleeping, not waiting on a condition: a wait with a time-out may follow the system clock,
        # which can be set.
        while not self._stopping:
            self.check()
            time.sleep(self.deadline / _LOOKS)
