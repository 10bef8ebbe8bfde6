"""A control rate held by absolute deadlines on the monotonic clock."""

from __future__ import annotations

import time


class Pacer:
    """Sleeps from deadline to deadline; a late tick does not shift those after it.

    Args:
        rate: ticks a second, in Hz.

    Attributes:
        skipped: deadlines that passed unused because a tick took longer than a period.
    """

    def __init__(self, rate: float) -> None:
        self.period = 1.0 / rate
        self.skipped = 0
        self.restart()

    def restart(self) -> None:
        """Count from now: the next deadline is one period away."""
        self._deadline = time.monotonic() + self.period

    def wait(self) -> float:
        """Sleep until the next deadline and return how late the waking was, in seconds.

        Deadlines that have gone by for a whole period are skipped: a tick that was missed is not
        made up for by two in quick succession.
        """
        late = time.monotonic() - self._deadline
        if late < 0:
            time.sleep(-late)
        elif late >= self.period:
            missed = int(late / self.period)
            self.skipped += missed
            self._deadline += missed * self.period
        lateness = time.monotonic() - self._deadline
        self._deadline += self.period
        return lateness
