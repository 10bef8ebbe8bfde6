"""What a training is of: the data of each embodiment, and its share of every batch."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lram_core.action_model import ModelConfig
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract, pictures
from lram_core.data.arrays import EpisodeSpan, TrainingArrays
from lram_core.data.schema import DatasetSchema, schema_differences
from lram_core.data.store import Dataset
from lram_core.data.stream import Spans, WindowStream, history_stream, window_stream
from lram_core.errors import CommandError, DataError, listed
from lram_core.training.config import MIXES, TrainConfig

_SEED_STEP = 1_000_003


@dataclass(frozen=True)
class Domain:
    """The data of one embodiment.

    Attributes:
        name: of the embodiment: its suite. paths: its datasets.
        schema: of its datasets. codec: of its actions.
        arrays: all of its episodes.
        training, validation: numbers of those to train on and of those held out.
        share: of the loss; the shares of a training add up to 1.
        streams: rows of every part of a batch.
        groups: of each training episode, see :func:`window_stream`; None for one group.
        seed: of the windows.
    """

    name: str
    paths: list[Path]
    schema: DatasetSchema
    codec: ActionCodec
    arrays: TrainingArrays
    training: list[int]
    validation: list[int]
    share: float
    streams: int
    groups: list[Hashable] | None
    seed: int

    def shape(self, config: TrainConfig) -> ModelConfig:
        """Return the shape of the embodiment's model."""
        return ModelConfig(
            self.schema.observation_size, self.schema.action_size, config.bins,
            config.backbone, dict(config.backbone_options), pictures(self.schema.observation),
        )  # fmt: skip

    def windows(self, config: TrainConfig, parts: int = 1) -> WindowStream:
        """Return the endless stream of its rows of the training batches, of ``parts`` each."""
        if config.span > 1:
            return history_stream(
                [self._episodes(history) for history in self.arrays.histories()],
                self.streams * parts, config.context, self.seed,
                Spans(config.span, config.stride), config.return_jitter,
            )  # fmt: skip
        return window_stream(
            self._episodes(self.training), self.streams * parts, config.context, self.seed,
            config.return_jitter, self.groups,
        )  # fmt: skip

    @property
    def held_out(self) -> list[EpisodeSpan]:
        return self._episodes(self.validation)

    def contract(self, config: TrainConfig) -> PolicyContract:
        """Build the bundle's contract: the data's schema, and the returns to ask for."""
        targets = {}
        tasks, returns = np.array(self.arrays.tasks), np.array(self.arrays.returns)
        for task in sorted(set(self.arrays.tasks)):
            quantile = np.quantile(returns[tasks == task], config.target_quantile)
            targets[task] = round(float(quantile), 1)
        default = round(float(np.median(list(targets.values()))), 1)
        return self.schema.contract({"default": default, **targets}, config.context)

    def describe(self) -> str:
        """Return one line for people."""
        told = f"{len(self.training)} episodes to train on, {len(self.validation)} held out"
        if self.share < 1:
            told += f", {self.streams} streams, {self.share:.3f} of the loss"
        return f"{self.name}: {told}"

    def _episodes(self, numbers: list[int]) -> list[EpisodeSpan]:
        return [self.arrays.episodes[number] for number in numbers]


def load_domains(
    datasets: list[Dataset], config: TrainConfig, device: torch.device
) -> list[Domain]:
    """Join the datasets of each suite, and share the batch out among the suites.

    Raises:
        DataError: two datasets of one suite have different schemas; it names what differs.
        CommandError: an unknown mix, or fewer streams than embodiments.
    """
    if config.mix not in MIXES:
        raise CommandError(f"unknown mix {config.mix!r}; available: {listed(MIXES)}")
    if config.span < 1 or config.stride < 1:
        raise CommandError(
            f"span and stride must be at least 1, found {config.span} and {config.stride}"
        )
    if config.span == 1 and config.stride > 1:
        raise CommandError(
            f"stride {config.stride} leaves episodes of a history out: it needs a span above 1"
        )
    suites: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        suites.setdefault(dataset.schema.suite, []).append(dataset)
        _check_same(suites[dataset.schema.suite][0], dataset)
    if config.batch < len(suites):
        raise CommandError(
            f"batch {config.batch} has fewer streams than there are embodiments "
            f"({len(suites)}: {listed(suites)})"
        )
    found: list[Domain] = []
    for name, own in suites.items():
        codec = ActionCodec(own[0].schema.action, config.bins)
        arrays = TrainingArrays.load(own, codec, device)
        training, validation = arrays.split(config.held_out)
        if config.span > 1:
            training, validation = sorted(training + validation), []
        groups = _groups(arrays, training, config.mix)
        weight = _weight(arrays, training, groups, config.mix)
        seed = config.seed + len(found) * _SEED_STEP
        found.append(
            Domain(
                name,
                [d.path for d in own],
                own[0].schema,
                codec,
                arrays,
                training,
                validation,
                weight,
                0,
                groups,
                seed,
            )
        )
    total = sum(domain.share for domain in found)
    shares = [domain.share / total for domain in found]
    streams = apportion(shares, config.batch)
    return [
        replace(domain, share=share, streams=rows)
        for domain, share, rows in zip(found, shares, streams, strict=True)
    ]


def twins(domains: list[Domain], config: TrainConfig) -> dict[str, str]:
    """Return embodiment name → an earlier one with the same fields; none, unless asked for."""
    found: dict[str, str] = {}
    if config.share_alike:
        first: dict[Hashable, str] = {}
        for domain in domains:
            fields = domain.schema.observation, domain.schema.action
            if first.setdefault(fields, domain.name) != domain.name:
                found[domain.name] = first[fields]
    return found


def summary(domains: list[Domain]) -> dict[str, Any]:
    """Return what a bundle tells of the data it was trained on."""
    return {
        "episodes": sum(len(domain.arrays.episodes) for domain in domains),
        "ticks": sum(len(domain.arrays.rewards) for domain in domains),
        "embodiments": {
            domain.name: {
                "episodes": len(domain.arrays.episodes),
                "ticks": len(domain.arrays.rewards),
                "streams": domain.streams,
                "share": round(domain.share, 4),
            }
            for domain in domains
        },
    }


def apportion(shares: list[float], total: int) -> list[int]:
    """Share ``total`` out in whole numbers, at least one each, as close to ``shares`` as that is.

    Args:
        shares: add up to 1.
        total: not below the number of shares.
    """
    counts = [1] * len(shares)
    for _ in range(total - len(shares)):
        lacking = [share * total - count for share, count in zip(shares, counts, strict=True)]
        counts[lacking.index(max(lacking))] += 1
    return counts


def _groups(arrays: TrainingArrays, numbers: list[int], mix: str) -> list[Hashable] | None:
    if mix == "task":
        return [arrays.tasks[number] for number in numbers]
    if mix == "dataset":
        return [arrays.sources[number] for number in numbers]
    return None


def _weight(
    arrays: TrainingArrays, numbers: list[int], groups: list[Hashable] | None, mix: str
) -> int:
    if groups is not None:
        return len(set(groups))
    return sum(arrays.episodes[n].length for n in numbers) if mix == "ticks" else 1


def _check_same(first: Dataset, other: Dataset) -> None:
    differing = schema_differences(other.schema, first.schema)
    if differing:
        raise DataError(
            f"{other.path}: its schema differs from {first.path}'s: {listed(differing)}; both are "
            f"of the suite {first.schema.suite}, and another embodiment needs another suite's name"
        )
