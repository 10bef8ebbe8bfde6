"""How the loop has been doing: true rate, stage times, misses, ages, clipping. Free of ROS.

A tick writes into buffers that exist since the start; whoever reports (once a second, on another
thread) does the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SECOND = 1.0
_MARGIN = 64
"""Rows the writing thread may add while another reads the window, before they meet."""


@dataclass(frozen=True)
class StageTimes:
    """Durations of one stage in seconds: percentiles of the window, maximum of all ticks.

    NaN before the first tick after the warm-up.
    """

    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True)
class Summary:
    """The loop up to now.

    Attributes:
        ticks: ticks that ran. missed: deadlines skipped between them. late: ticks that ended after
            the next deadline.
        rate: ticks in the last second, in Hz: true, not asked for.
        worst_second: fewest ticks in any second since the first tick, in Hz; NaN in the first one.
            The second may lie anywhere, and is half a period longer, so that a tick on its edge
            does not look like a missing one.
        jitter_p50, jitter_p99, jitter_max: deviation of the time between two ticks from the
            period, in seconds; the maximum of the whole run.
        window: ticks that the percentiles are of.
        stages: stage → its durations, without the warm-up.
        ages: input → (age at the last tick, highest age so far), in seconds.
        clipped: action field → ticks in which its value was clipped.
        state_norm, state_norm_max: of the recurrent state, at the last tick and at most.
    """

    ticks: int
    missed: int
    late: int
    rate: float
    worst_second: float
    jitter_p50: float
    jitter_p99: float
    jitter_max: float
    window: int
    stages: dict[str, StageTimes]
    ages: dict[str, tuple[float, float]]
    clipped: dict[str, int]
    state_norm: float
    state_norm_max: float

    def key_values(self) -> dict[str, str]:
        """Return every figure as text under a readable key, for a diagnostic status."""
        found = {
            "rate [Hz]": f"{self.rate:g}",
            "worst second [Hz]": f"{self.worst_second:g}",
            "ticks": str(self.ticks),
            "missed": str(self.missed),
            "late": str(self.late),
        }
        for name in ("p50", "p99", "max"):
            found[f"jitter {name} [ms]"] = f"{getattr(self, f'jitter_{name}') * 1e3:.3f}"
        for stage, times in self.stages.items():
            for name in ("p50", "p95", "p99", "max"):
                found[f"{stage} {name} [ms]"] = f"{getattr(times, name) * 1e3:.3f}"
        for name, (last, highest) in self.ages.items():
            found[f"age of {name} [ms]"] = f"{last * 1e3:.1f} (at most {highest * 1e3:.1f})"
        for name, count in self.clipped.items():
            found[f"clipped {name}"] = str(count)
        found["state norm"] = f"{self.state_norm:.4g} (at most {self.state_norm_max:.4g})"
        return found


class TickStatistics:
    """Statistics of one loop; :meth:`add` is for the thread that ticks, :meth:`summary` for any.

    Args:
        rate: nominal ticks a second, in Hz.
        stages: names of the stages of a tick.
        inputs: names of the inputs whose ages are given.
        actions: names of the action fields.
        window: ticks that percentiles are taken over.
        warm_up: first ticks, left out of stage times and jitter; the very first always is.

    One object lasts from one activation to the next: a pause between two would count as a stall.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        rate: float,
        stages: Sequence[str],
        inputs: Sequence[str] = (),
        actions: Sequence[str] = (),
        window: int = 4096,
        warm_up: int = 10,
    ) -> None:
        if not (rate > 0 and math.isfinite(rate)) or window < 1 or warm_up < 0:
            raise ValueError(
                f"expected rate > 0, window >= 1, warm_up >= 0, found {rate}, {window}, {warm_up}"
            )
        self._period = 1.0 / rate
        self._second = SECOND + 0.5 * self._period
        self._stage_names, self._input_names = tuple(stages), tuple(inputs)
        self._action_names = tuple(actions)
        self._window, self._warm_up = window, warm_up
        self._rows = window + _MARGIN
        self._stages = np.zeros((self._rows, len(self._stage_names)))
        self._jitter = np.zeros(self._rows)
        # Twice the nominal number in a second: enough for the worst bunching of ticks there is.
        self._times = np.full(max(4, 2 * math.ceil(rate * SECOND) + 2), -math.inf)
        self._row = np.zeros(len(self._stage_names))
        self._stage_max = np.full(len(self._stage_names), -math.inf)
        self._ages = np.zeros((2, len(self._input_names)))
        self._age = np.zeros(len(self._input_names))
        self._clipped = np.zeros(len(self._action_names), dtype=np.int64)
        self._ticks = self._missed = self._late = self._kept = 0
        self._first = self._last = math.nan
        self._oldest = 0  # the first tick that lies within a second of the last one
        self._fewest = math.inf
        self._jitter_max = 0.0
        self._norm, self._norm_max = math.nan, -math.inf

    def add(
        self,
        start: float,
        stages: Sequence[float] | Array,
        ages: Sequence[float] | Array = (),
        clipped: Sequence[bool] | npt.NDArray[np.bool_] = (),
        missed: int = 0,
        late: bool = False,
        state_norm: float = math.nan,
    ) -> None:
        """Count one tick.

        Args:
            start: when it began, in seconds of ``time.monotonic``; later than the one before.
            stages: duration of each stage, in seconds, in the order of their names.
            ages: age of each input, in seconds; empty when unknown.
            clipped: which action fields were clipped; empty when there was no action.
            missed: deadlines skipped right before it.
            late: whether it ended after the next deadline.
            state_norm: of the recurrent state; NaN when unknown.
        """
        self._count_second(start)
        if self._ticks >= max(self._warm_up, 1):
            row = self._kept % self._rows
            self._row[:] = stages
            self._stages[row] = self._row
            np.maximum(self._stage_max, self._row, out=self._stage_max)
            jitter = abs(start - self._last - self._period)
            self._jitter[row] = jitter
            self._jitter_max = max(self._jitter_max, jitter)
            self._kept += 1
        if len(ages):
            self._age[:] = ages
            self._ages[0] = self._age
            np.maximum(self._ages[1], self._age, out=self._ages[1])
        if len(clipped):
            np.add(self._clipped, clipped, out=self._clipped, casting="unsafe")
        if not math.isnan(state_norm):
            self._norm = state_norm
            self._norm_max = max(self._norm_max, state_norm)
        self._missed += missed
        self._late += late
        self._last = start
        self._ticks += 1

    def summary(self, now: float) -> Summary:
        """Return the figures at ``now`` (``time.monotonic``): a loop that stands still shows."""
        kept = self._kept
        # The rows about to be overwritten are not among these: no lock keeps the loop waiting.
        rows = np.arange(max(0, kept - self._window), kept) % self._rows
        stages, jitter = self._stages[rows], self._jitter[rows]
        worst = self._fewest
        if now - self._first >= self._second:
            worst = min(worst, self._within(now, self._second))
        half, most = _percentiles(jitter, (50, 99))
        return Summary(
            ticks=self._ticks,
            missed=self._missed,
            late=self._late,
            rate=self._within(now, SECOND) / SECOND,
            worst_second=worst / SECOND if math.isfinite(worst) else math.nan,
            jitter_p50=half,
            jitter_p99=most,
            jitter_max=self._jitter_max if kept else math.nan,
            window=len(rows),
            stages={
                name: _stage_times(stages[:, i], float(self._stage_max[i]))
                for i, name in enumerate(self._stage_names)
            },
            ages={
                name: (float(self._ages[0, i]), float(self._ages[1, i]))
                for i, name in enumerate(self._input_names)
            },
            clipped=dict(zip(self._action_names, self._clipped.tolist(), strict=True)),
            state_norm=self._norm,
            state_norm_max=self._norm_max if self._norm_max >= 0 else math.nan,
        )

    def _within(self, now: float, span: float) -> int:
        return int(((self._times > now - span) & (self._times <= now)).sum())

    def _count_second(self, start: float) -> None:
        """How many ticks the second before this one had: there the fewest are to be found."""
        times = self._times
        if self._ticks == 0:
            self._first = start
        while (
            self._oldest < self._ticks and times[self._oldest % len(times)] <= start - self._second
        ):
            self._oldest += 1  # once for every tick ever: constant on average
        # More than the buffer holds cannot be a record low.
        self._oldest = max(self._oldest, self._ticks + 1 - len(times))
        if start - self._first >= self._second:
            self._fewest = min(self._fewest, self._ticks - self._oldest)
        times[self._ticks % len(times)] = start


def _stage_times(values: Array, highest: float) -> StageTimes:
    p50, p95, p99 = _percentiles(values, (50, 95, 99))
    return StageTimes(p50, p95, p99, highest if len(values) else math.nan)


def _percentiles(values: Array, wanted: tuple[int, ...]) -> list[float]:
    if not len(values):
        return [math.nan] * len(wanted)
    found: list[float] = np.percentile(values, wanted).tolist()
    return found
