"""Datasets of one embodiment as arrays to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.codec import ActionCodec
from lram_core.contract import pictures
from lram_core.data.mapped import MappedRows, memory
from lram_core.data.schema import schema_differences
from lram_core.data.split import hold_out
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
    """Datasets of one embodiment, joined and brought into the model's units, on one device.

    Attributes:
        observations: (N, observation_size). returns_to_go, rewards: (N,), scaled.
        bins: (N, action_size) int64, the labels. actions: (N, action_size), the labels' values.
            Of data larger than the memory, or with pictures, these and the observations are
            :class:`MappedRows`: indexed by the rows of a batch they give the same tensors, read
            from the files then.
        episodes: all episodes; tasks: their task names; seeds: their reset seeds; returns: their
            returns, in reward units; sources: the numbers of the datasets they are from.
        suite: of the datasets.
    """

    observations: Tensor
    returns_to_go: Tensor
    rewards: Tensor
    bins: Tensor
    actions: Tensor
    episodes: list[EpisodeSpan]
    tasks: list[str]
    seeds: list[int]
    returns: list[float]
    sources: list[int]
    suite: str

    @classmethod
    def load(
        cls,
        datasets: list[Dataset],
        codec: ActionCodec,
        device: torch.device | str,
        mapped: bool | None = None,
    ) -> TrainingArrays:
        """Join ``datasets``.

        Args:
            datasets: of one schema.
            codec: of the actions.
            device: where the tensors are.
            mapped: leave observations and actions in the files; rewards and returns (8 bytes a
                tick) are loaded all the same. None: where they would take more than half of the
                device's memory, and where there are pictures, which are smaller in the files.

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
        episodes, tasks, seeds, returns, sources, to_go = [], [], [], [], [], []
        offset = 0
        for number, data in enumerate(datasets):
            for row in data.episodes.to_pylist():
                episodes.append(EpisodeSpan(offset + row["start"], row["length"]))
                tasks.append(row["task"])
                seeds.append(row["seed"])
                sources.append(number)
                returns.append(row["return"])
                part = data.rewards[row["start"] : row["start"] + row["length"]]
                to_go.append((returns_to_go(part, row["return"]) / scale).astype(np.float32))
            offset += len(data.rewards)

        scaled = {
            "returns_to_go": np.concatenate(to_go),
            "rewards": _joined(datasets, "rewards") / np.float32(scale),
        }
        if mapped is None:
            # Labels are twice the size of the actions they are made of.
            wanted = sum(data.observations.nbytes + 3 * data.actions.nbytes for data in datasets)
            mapped = wanted > memory(device) // 2 or bool(pictures(schema.observation))
        read = _mapped_rows if mapped else _loaded_rows
        return cls(
            **{name: torch.from_numpy(values).to(device) for name, values in scaled.items()},
            **read(datasets, codec, device),
            episodes=episodes,
            tasks=tasks,
            seeds=seeds,
            returns=returns,
            sources=sources,
            suite=schema.suite,
        )

    def histories(self) -> list[list[int]]:
        """Return the episode numbers of each task of each dataset, as they follow each other."""
        found: dict[tuple[int, str], list[int]] = {}
        for number, history in enumerate(zip(self.sources, self.tasks, strict=True)):
            found.setdefault(history, []).append(number)
        return list(found.values())

    def split(self, held_out: float) -> tuple[list[int], list[int]]:
        """Return (training, validation) episode numbers; see :func:`lram_core.data.split.hold_out`.

        About ``held_out`` of each task's episodes, at least one, go to validation (paper: 2.5 %).
        """
        held = hold_out(self.suite, self.tasks, self.seeds, held_out)
        numbers = range(len(held))
        return [n for n in numbers if not held[n]], [n for n in numbers if held[n]]


def _mapped_rows(
    datasets: list[Dataset], codec: ActionCodec, device: torch.device | str
) -> dict[str, Any]:
    observations = [data.observations for data in datasets]
    actions = [data.actions for data in datasets]
    return {
        "observations": MappedRows(observations, device),
        "bins": MappedRows(actions, device, codec.encode),
        "actions": MappedRows(actions, device),
    }


def _loaded_rows(
    datasets: list[Dataset], codec: ActionCodec, device: torch.device | str
) -> dict[str, Any]:
    actions = _joined(datasets, "actions")
    return {
        "observations": torch.from_numpy(_joined(datasets, "observations")).to(device),
        "bins": torch.from_numpy(codec.encode(actions)).to(device),
        "actions": torch.from_numpy(actions).to(device),
    }


def _joined(datasets: list[Dataset], name: str) -> npt.NDArray[np.float32]:
    return np.concatenate([getattr(data, name) for data in datasets])
