"""Training windows cut from endless streams of whole episodes.

Each of B streams plays episodes end to end, from their first tick to their last; a training batch
is the next window of every stream, and the recurrent state is carried from window to window
(truncated backpropagation through time). So every episode start and end is in a window, the last
transition is sampled like any other, nothing is padded, and training sees the same uninterrupted
recurrence from an episode's start that control runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.codec import ActionCodec
from lram_core.data.manage import held_out as held_out_episodes
from lram_core.data.mapped import MappedRows
from lram_core.data.schema import schema_differences
from lram_core.data.store import Dataset
from lram_core.errors import DataError, listed
from lram_core.returns import returns_to_go


@dataclass(frozen=True)
class EpisodeSpan:
    """Where an episode lies in the arrays: [start, start + length)."""

    start: int
    length: int


@dataclass(frozen=True)
class TrainingArrays:
    """Datasets joined and brought into the model's units, on one device.

    Attributes:
        observations: (N, observation_size). returns_to_go, rewards: (N,), scaled.
        bins: (N, action_size) int64, the labels. actions: (N, action_size), the labels' values.
            With ``mapped``, these and the observations are :class:`MappedRows`: indexed by the
            rows of a batch they give the same tensors, read from the files at that moment.
        episodes: all episodes; tasks: their task names; returns: their returns, in reward units.
    """

    observations: Tensor
    returns_to_go: Tensor
    rewards: Tensor
    bins: Tensor
    actions: Tensor
    episodes: list[EpisodeSpan]
    tasks: list[str]
    returns: list[float]

    @classmethod
    def load(
        cls,
        datasets: list[Dataset],
        codec: ActionCodec,
        device: torch.device | str,
        mapped: bool = False,
    ) -> TrainingArrays:
        """Join ``datasets``.

        Args:
            datasets: of one schema.
            codec: of the actions.
            device: where the tensors are.
            mapped: leave observations and actions in the files, for data larger than the memory;
                rewards and returns (8 bytes a tick) are loaded all the same.

        Raises:
            DataError: a dataset has another schema than the first one.
        """
        schema = datasets[0].schema
        for other in datasets[1:]:
            if other.schema != schema:
                different = listed(schema_differences(other.schema, schema), 5)
                raise DataError(
                    f"{other.path}: its schema differs from {datasets[0].path}'s: {different}"
                )
        scale = schema.reward.scale
        episodes, tasks, returns, to_go = [], [], [], []
        offset = 0
        for data in datasets:
            for row in data.episodes.to_pylist():
                episodes.append(EpisodeSpan(offset + row["start"], row["length"]))
                tasks.append(row["task"])
                returns.append(row["return"])
                part = data.rewards[row["start"] : row["start"] + row["length"]]
                to_go.append((returns_to_go(part, row["return"]) / scale).astype(np.float32))
            offset += len(data.rewards)

        def joined(name: str) -> npt.NDArray[np.float32]:
            return np.concatenate([getattr(data, name) for data in datasets])

        scaled = {
            "returns_to_go": np.concatenate(to_go),
            "rewards": joined("rewards") / np.float32(scale),
        }
        rows: dict[str, Any]
        if mapped:
            observations = [data.observations for data in datasets]
            actions = [data.actions for data in datasets]
            rows = {
                "observations": MappedRows(observations, device),
                "bins": MappedRows(actions, device, codec.encode),
                "actions": MappedRows(actions, device),
            }
        else:
            loaded = joined("actions")
            rows = {
                "observations": torch.from_numpy(joined("observations")).to(device),
                "bins": torch.from_numpy(codec.encode(loaded)).to(device),
                "actions": torch.from_numpy(loaded).to(device),
            }
        return cls(
            **{name: torch.from_numpy(values).to(device) for name, values in scaled.items()},
            **rows,
            episodes=episodes,
            tasks=tasks,
            returns=returns,
        )

    def split(self, held_out: float, seed: int) -> tuple[list[int], list[int]]:
        """Return (training, validation) episode numbers; ``held_out`` of each task's episodes,
        at least one, go to validation (paper: 2.5 %). A task with one episode only is trained on.
        """
        return held_out_episodes(self.tasks, held_out, seed)


@dataclass(frozen=True)
class Windows:
    """Rows of the joined arrays for one batch of windows.

    Attributes:
        index: (B, T) int64 row numbers. start: (B, T) bool, first tick of an episode.
        return_offset: (B, T) float32, added to the return-to-go, one value an episode.
    """

    index: npt.NDArray[np.int64]
    start: npt.NDArray[np.bool_]
    return_offset: npt.NDArray[np.float32]


def window_stream(
    episodes: list[EpisodeSpan], batch: int, ticks: int, seed: int, return_jitter: float = 0.0
) -> Iterator[Windows]:
    """Yield endless batches of consecutive windows, episodes in a new random order each pass.

    Args:
        episodes: episodes to play; each is played once before any is played again.
        batch: number of parallel streams.
        ticks: length of a window in control ticks.
        seed: the sequence of batches is a function of it.
        return_jitter: standard deviation of the offset on an episode's scaled return-to-go; the
            return reached on a robot is never exactly a demonstrated one.
    """
    if not episodes:
        raise DataError("no episode to train on")
    rng = np.random.default_rng(seed)
    order: list[int] = []
    buffers = [Windows(*_no_ticks()) for _ in range(batch)]
    while True:
        rows = []
        for stream in range(batch):
            pieces = [buffers[stream]]
            while sum(len(piece.index) for piece in pieces) < ticks:
                if not order:
                    order = rng.permutation(len(episodes)).tolist()
                pieces.append(_play(episodes[order.pop()], rng.normal(0.0, return_jitter)))
            whole = Windows(
                np.concatenate([p.index for p in pieces]),
                np.concatenate([p.start for p in pieces]),
                np.concatenate([p.return_offset for p in pieces]),
            )
            rows.append(
                Windows(whole.index[:ticks], whole.start[:ticks], whole.return_offset[:ticks])
            )
            buffers[stream] = Windows(
                whole.index[ticks:], whole.start[ticks:], whole.return_offset[ticks:]
            )
        yield Windows(
            np.stack([r.index for r in rows]),
            np.stack([r.start for r in rows]),
            np.stack([r.return_offset for r in rows]),
        )


def _no_ticks() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    return np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.float32)


def _play(episode: EpisodeSpan, offset: float) -> Windows:
    start = np.zeros(episode.length, dtype=np.bool_)
    start[0] = True
    return Windows(
        np.arange(episode.start, episode.start + episode.length),
        start,
        np.full(episode.length, offset, dtype=np.float32),
    )
