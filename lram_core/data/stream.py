"""Training windows cut from endless streams of whole episodes.

Each of B streams plays episodes end to end, from their first tick to their last; a training batch
is the next window of every stream, and the recurrent state is carried from window to window
(truncated backpropagation through time). So every episode start and end is in a window, the last
transition is sampled like any other, nothing is padded, and training sees the same uninterrupted
recurrence from an episode's start that control runs.

For in-context learning a stream plays spans of several episodes of one task's learning history,
and the state is carried from episode to episode: what was found out in one serves the next.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.data.arrays import EpisodeSpan
from lram_core.errors import DataError


@dataclass(frozen=True)
class Spans:
    """What a recurrent state is carried over in training.

    Attributes:
        episodes: consecutive episodes of a history that are played as one; 1: each starts anew.
        stride: only every stride-th episode of a history counts, so that a span sees more of the
            progress (Laskin et al., 2022, section 4.4).
    """

    episodes: int = 1
    stride: int = 1


@dataclass(frozen=True)
class Windows:
    """Rows of the joined arrays for one batch of windows.

    Attributes:
        index: (B, T) int64 row numbers. start: (B, T) bool, first tick of an episode (of a span,
            where one state is carried over several): nothing before it counts.
        return_offset: (B, T) float32, added to the return-to-go, one value an episode.
    """

    index: npt.NDArray[np.int64]
    start: npt.NDArray[np.bool_]
    return_offset: npt.NDArray[np.float32]


def window_stream(
    episodes: list[EpisodeSpan],
    batch: int,
    ticks: int,
    seed: int,
    return_jitter: float = 0.0,
    groups: Sequence[Hashable] | None = None,
) -> WindowStream:
    """Return endless batches of consecutive windows, episodes in a new random order each pass.

    Args:
        episodes: episodes to play; each is played once before any of its group is played again.
        batch: number of parallel streams.
        ticks: length of a window in control ticks.
        seed: the sequence of batches is a function of it.
        return_jitter: standard deviation of the offset on an episode's scaled return-to-go; the
            return reached on a robot is never exactly a demonstrated one.
        groups: of each episode; all groups get the same number of ticks. None: one group, so that
            every tick comes once a pass.

    Raises:
        DataError: there is no episode.
    """
    if not episodes:
        raise DataError("no episode to train on")
    rng = np.random.default_rng(seed)
    deck = _Deck(episodes, groups or [None] * len(episodes), rng)
    return WindowStream(deck, batch, ticks, rng, return_jitter)


def history_stream(
    histories: list[list[EpisodeSpan]],
    batch: int,
    ticks: int,
    seed: int,
    spans: Spans,
    return_jitter: float = 0.0,
) -> WindowStream:
    """Return endless batches of consecutive windows of spans, see :class:`Spans`.

    A span begins with a random episode of a history, and is shorter where the history ends. Each
    history has been drawn once before any is drawn again.

    Args:
        histories: the episodes of each, in order.
        batch, ticks, seed, return_jitter: as for :func:`window_stream`.

    Raises:
        DataError: there is no history, or an empty one.
    """
    if not histories or not all(histories):
        raise DataError("no episode to train on")
    rng = np.random.default_rng(seed)
    return WindowStream(_Histories(histories, spans, rng), batch, ticks, rng, return_jitter)


class Deck(Protocol):
    """Where a stream's episodes come from."""

    def draw(self) -> list[EpisodeSpan]:
        """Return the next episodes to play end to end, from a fresh state on."""
        ...

    def position(self) -> dict[str, Any]:
        """Return, as plain data, what the next draws depend on besides the random numbers."""
        ...

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position. Raises ValueError: it is one of another deck."""
        ...


class WindowStream(Iterator[Windows]):
    """Cuts the episodes of a deck into batches of windows; see :func:`window_stream`."""

    def __init__(
        self, deck: Deck, batch: int, ticks: int, rng: np.random.Generator, return_jitter: float
    ) -> None:
        self._deck, self._rng = deck, rng
        self._ticks, self._jitter = ticks, return_jitter
        self._buffers = [Windows(*_no_ticks()) for _ in range(batch)]

    def __next__(self) -> Windows:
        ticks = self._ticks
        rows = []
        for stream, buffer in enumerate(self._buffers):
            pieces = [buffer]
            while sum(len(piece.index) for piece in pieces) < ticks:
                for number, episode in enumerate(self._deck.draw()):
                    offset = self._rng.normal(0.0, self._jitter)
                    pieces.append(_play(episode, offset, fresh=number == 0))
            whole = Windows(
                np.concatenate([p.index for p in pieces]),
                np.concatenate([p.start for p in pieces]),
                np.concatenate([p.return_offset for p in pieces]),
            )
            rows.append(
                Windows(whole.index[:ticks], whole.start[:ticks], whole.return_offset[:ticks])
            )
            self._buffers[stream] = Windows(
                whole.index[ticks:], whole.start[ticks:], whole.return_offset[ticks:]
            )
        return Windows(
            np.stack([r.index for r in rows]),
            np.stack([r.start for r in rows]),
            np.stack([r.return_offset for r in rows]),
        )

    def position(self) -> dict[str, Any]:
        """Return, as plain data, all that the following batches depend on."""
        return {
            "rng": self._rng.bit_generator.state,
            "deck": self._deck.position(),
            "rests": [_runs(buffer) for buffer in self._buffers],
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position of a stream of the same episodes and batch.

        Raises:
            ValueError: it is one of another stream.
        """
        rests = position["rests"]
        if len(rests) != len(self._buffers):
            raise ValueError(f"a position of {len(rests)} streams, these are {len(self._buffers)}")
        self._deck.seek(position["deck"])
        self._rng.bit_generator.state = position["rng"]
        self._buffers = [_of_runs(runs) for runs in rests]


def _runs(windows: Windows) -> list[list[Any]]:
    """Ticks of one stream as [first row, length, whether an episode starts there, offset] of each
    stretch of consecutive rows."""
    if not len(windows.index):
        return []
    jumps = (np.diff(windows.index) != 1) | (np.diff(windows.return_offset) != 0)
    breaks = np.flatnonzero(jumps | windows.start[1:]) + 1
    edges = [0, *breaks.tolist(), len(windows.index)]
    return [
        [int(windows.index[a]), b - a, bool(windows.start[a]), float(windows.return_offset[a])]
        for a, b in itertools.pairwise(edges)
    ]


def _of_runs(runs: list[list[Any]]) -> Windows:
    pieces = [Windows(*_no_ticks())]
    for first, length, starts, offset in runs:
        pieces.append(_play(EpisodeSpan(first, length), offset, fresh=starts))
    return Windows(
        np.concatenate([p.index for p in pieces]),
        np.concatenate([p.start for p in pieces]),
        np.concatenate([p.return_offset for p in pieces]),
    )


class _Deck:
    """Draws episodes without replacement, from the group that has had the fewest ticks."""

    def __init__(
        self, episodes: list[EpisodeSpan], groups: Sequence[Hashable], rng: np.random.Generator
    ) -> None:
        self._rng = rng
        members: dict[Hashable, list[EpisodeSpan]] = {}
        for episode, group in zip(episodes, groups, strict=True):
            members.setdefault(group, []).append(episode)
        self._members = list(members.values())
        self._orders: list[list[int]] = [[] for _ in self._members]
        self._played = [0] * len(self._members)

    def draw(self) -> list[EpisodeSpan]:
        group = self._played.index(min(self._played))
        members, order = self._members[group], self._orders[group]
        if not order:
            order.extend(self._rng.permutation(len(members)).tolist())
        episode = members[order.pop()]
        self._played[group] += episode.length
        return [episode]

    def position(self) -> dict[str, Any]:
        return {"orders": [list(order) for order in self._orders], "played": list(self._played)}

    def seek(self, position: dict[str, Any]) -> None:
        if len(position["played"]) != len(self._played):
            raise ValueError(
                f"a position of {len(position['played'])} groups, these are {len(self._played)}"
            )
        self._orders = [list(order) for order in position["orders"]]
        self._played = list(position["played"])


class _Histories:
    """Draws spans of episodes, histories without replacement."""

    def __init__(
        self, histories: list[list[EpisodeSpan]], spans: Spans, rng: np.random.Generator
    ) -> None:
        self._histories, self._spans, self._rng = histories, spans, rng
        self._order: list[int] = []

    def draw(self) -> list[EpisodeSpan]:
        if not self._order:
            self._order.extend(self._rng.permutation(len(self._histories)).tolist())
        history = self._histories[self._order.pop()]
        first = int(self._rng.integers(len(history)))
        return history[first :: self._spans.stride][: self._spans.episodes]

    def position(self) -> dict[str, Any]:
        return {"order": list(self._order), "histories": len(self._histories)}

    def seek(self, position: dict[str, Any]) -> None:
        if position["histories"] != len(self._histories):
            raise ValueError(
                f"a position of {position['histories']} histories, these are {len(self._histories)}"
            )
        self._order = list(position["order"])


def _no_ticks() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    return np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.float32)


def _play(episode: EpisodeSpan, offset: float, fresh: bool) -> Windows:
    start = np.zeros(episode.length, dtype=np.bool_)
    start[0] = fresh
    return Windows(
        np.arange(episode.start, episode.start + episode.length),
        start,
        np.full(episode.length, offset, dtype=np.float32),
    )
