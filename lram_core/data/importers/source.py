"""What every importer is: a source of episodes with a schema, and how it becomes a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.bundle import CONTRACT, load_contract
from lram_core.contract import RewardSpec
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.store import Dataset
from lram_core.data.writer import DESCRIPTION, DatasetWriter
from lram_core.errors import DataError, LramError, RuntimeUnavailable, one_line

UNKNOWN = "unknown"
Array = npt.NDArray[Any]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class ImportOptions:
    """What a format does not say about itself, or what is to be taken instead.

    Attributes:
        like: schema that the dataset must have, of a bundle or another dataset; its fields are
            found by name, or by position where the source's names are others.
        suite, robot, gripper: names; empty for what the source says.
        control_rate: in Hz; None for what the source says.
        kind, unit: of the actions, where the source does not say.
        reward_scale: rewards and returns are divided by it before a model sees them.
        tasks: take these tasks only; empty for all.
    """

    like: DatasetSchema | None = None
    suite: str = ""
    robot: str = ""
    gripper: str = ""
    control_rate: float | None = None
    kind: str = ""
    unit: str = "1"
    reward_scale: float = 1.0
    tasks: tuple[str, ...] = ()

    def wants(self, task: str) -> bool:
        return not self.tasks or task in self.tasks


class Source(Protocol):
    """A recording that was opened and looked through.

    Attributes:
        format, path: what it is, for messages and provenance.
        schema: of the dataset it becomes; ``max_episode_steps`` is filled in from the episodes.
        total: number of episodes.
        parameters: what else determines the episodes, as plain data.
        notes: what a reader of the dataset should know.
    """

    format: str
    path: Path
    schema: DatasetSchema
    total: int
    parameters: dict[str, Any]
    notes: list[str]

    def episodes(self, first: int = 0) -> Iterator[Episode]:
        """Yield the episodes from number ``first`` on. Raises DataError naming file and place."""
        ...


@dataclass(frozen=True)
class Imported:
    """What an import wrote: episodes, their ticks, those an interrupted one had written before."""

    episodes: int
    steps: int
    resumed: int = 0
    notes: list[str] = field(default_factory=list)


def import_source(source: Source, out: Path, advance: Progress = lambda _: None) -> Imported:
    """Write the episodes of a source as a dataset; continues an interrupted import.

    Args:
        source: what to import.
        out: folder of the dataset; must not exist.
        advance: called with the number of episodes just done.

    Raises:
        DataError: the source is damaged, or ``out`` exists. Nothing is left of the import then.
    """
    key = {
        "format": source.format,
        "path": str(source.path.resolve()),
        "parameters": source.parameters,
    }
    with DatasetWriter(out, source.schema, key) as writer:
        resumed = writer.episodes
        advance(resumed)
        for episode in source.episodes(resumed):
            writer.add(episode)
            advance(1)
        about = {**key, "path": str(source.path), "notes": source.notes}
        writer.finish({"import": about}, longest=source.schema.max_episode_steps == 1)
    return Imported(writer.episodes, writer.steps, resumed, source.notes)


def load_schema(path: Path) -> DatasetSchema:
    """Return the schema of a dataset, or the one that a bundle was trained on.

    Raises:
        DataError: it is neither.
    """
    if (path / DESCRIPTION).is_file():
        return Dataset.open(path).schema
    if (path / CONTRACT).is_file():
        return DatasetSchema.of_contract(load_contract(path))
    raise DataError(f"{path}: neither a dataset ({DESCRIPTION}) nor a policy bundle ({CONTRACT})")


def base_schema(
    options: ImportOptions,
    suite: str,
    robot: str,
    gripper: str,
    control_rate: float | None,
    reward: str,
    where: str,
) -> DatasetSchema:
    """Return the schema without fields, from what the source says and the user's options.

    Raises:
        DataError: nobody says the control rate.
    """
    rate = options.control_rate or control_rate
    if rate is None:
        raise DataError(f"{where}: the format does not say the control rate; give --rate")
    like = options.like
    return DatasetSchema(
        suite=options.suite or suite,
        robot=options.robot or robot,
        gripper=options.gripper or gripper,
        control_rate=rate,
        observation=(),
        action=(),
        reward=like.reward if like else RewardSpec(reward, options.reward_scale),
        max_episode_steps=1,
    )


def limits_of(lows: Array, highs: Array, usual: float | None = 1.0) -> list[tuple[float, float]]:
    """Return limits for each action: ``-usual … usual`` where the data stay within, else theirs.

    None for ``usual``: the data's in any case.
    """
    found = []
    for low, high in zip(np.asarray(lows, float), np.asarray(highs, float), strict=True):
        if usual is not None and -usual <= low and high <= usual:
            found.append((-usual, usual))
        else:
            middle, half = (low + high) / 2, max((high - low) / 2, 1e-6 * max(1.0, abs(low)))
            found.append((float(middle - half), float(middle + half)))
    return found


@contextmanager
def damaged(where: str) -> Iterator[None]:
    """Name the file in which a format's library stumbles: damage makes them fail in many ways.

    Raises:
        DataError: the block raised anything but an LramError, which is passed on.
    """
    try:
        yield
    except LramError:
        raise
    except Exception as error:
        raise DataError(f"{where}: damaged ({one_line(error)})") from None


def needs(module: str, what: str) -> Any:
    """Import a library that only some formats need.

    Raises:
        RuntimeUnavailable: it is not installed; the message says how to get it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != module.split(".")[0]:
            raise
        raise RuntimeUnavailable(
            f"{what} needs the Python module '{module}': pip install 'lram_ros[data]'"
        ) from None
