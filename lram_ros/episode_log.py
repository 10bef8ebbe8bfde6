"""Puts an episode together from the messages that announce and trace it. Free of ROS."""

from __future__ import annotations

from typing import Any

import numpy as np

from lram_ros.episode_state import EpisodeState
from lram_ros.report.results import STAGES, EpisodeResult

_ENDED = (EpisodeState.SUCCEEDED, EpisodeState.TRUNCATED, EpisodeState.ABORTED)


class EpisodeLog:
    """Collects EpisodeStatus and PolicyTick of one episode, in whatever order they arrive.

    Repeated messages (the simulator shows a set again when nothing answers it) count once.

    Args:
        episode: number of the episode; messages of others are ignored.
    """

    def __init__(self, episode: int) -> None:
        self.episode = episode
        self.end: Any = None
        self.ticks = 0
        self._stamps: dict[int, int] = {}  # tick → ns, of the first two
        self._traces: dict[int, Any] = {}
        self._begin = self._finish = 0.0

    def add_status(self, message: Any, now: float) -> None:
        """Take an EpisodeStatus that arrived at ``now``, a steady clock's seconds."""
        if message.episode != self.episode or self.end is not None:
            return
        if not self._begin:
            self._begin = now
        self.ticks = max(self.ticks, message.tick)
        if message.tick < 2:
            stamp = message.header.stamp
            self._stamps[message.tick] = stamp.sec * 1_000_000_000 + stamp.nanosec
        if message.state in _ENDED:
            self.end, self._finish = message, now

    def add_trace(self, message: Any) -> None:
        """Take a PolicyTick."""
        if message.episode == self.episode:
            self._traces[message.tick] = message

    @property
    def awaits_trace(self) -> bool:
        """Whether the PolicyTick of the last command is still to come (they come in order)."""
        return self.ticks > 0 and self.ticks - 1 not in self._traces

    @property
    def missing_traces(self) -> int:
        """Ticks so far without a PolicyTick; the last status has none, it expects no command."""
        return max(self.ticks - len(self._traces), 0)

    @property
    def period(self) -> float | None:
        """Control period in seconds, by the stamps; None before two of them are known."""
        if len(self._stamps) < 2:
            return None
        return (self._stamps[1] - self._stamps[0]) * 1e-9

    def result(self) -> EpisodeResult:
        """The finished episode.

        Raises:
            ValueError: it is not finished.
        """
        if self.end is None:
            raise ValueError(f"episode {self.episode} is not finished")
        traces = [self._traces[tick] for tick in sorted(self._traces)]
        stages = {
            stage: np.array([getattr(trace, f"{stage}_s") for trace in traces], np.float64)
            for stage in STAGES
        }
        return EpisodeResult(
            task=self.end.task,
            seed=self.end.seed,
            success=bool(self.end.success),
            episode_return=self.end.episode_return,
            ticks=self.ticks,
            latency=np.array([trace.total_s for trace in traces], np.float64),
            stages=stages,
            wall=self._finish - self._begin,
            deadline_missed=sum(bool(trace.deadline_missed) for trace in traces),
        )
