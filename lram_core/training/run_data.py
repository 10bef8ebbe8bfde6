"""The data that a run was begun with: a run does not go on with others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lram_core.data.files import atomic_path
from lram_core.data.schema import DatasetSchema, schema_differences
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, DataError, LramError, listed, one_line

FIELDS = "fields.json"
"""Embodiment → schema of the data that the run was begun with."""
CONTENT = "data.json"
"""Number of episodes and ticks, and checksums, of each of its datasets."""


def check_fields(run: Path, datasets: list[Dataset], schemas: Mapping[str, DatasetSchema]) -> None:
    """Compare the data's fields with those the run was begun with, or note them.

    Raises:
        CommandError: they differ; the message names both sides. DataError: unreadable.
    """
    file = run / FIELDS
    if not file.exists():  # a new run, or one that an earlier release began
        _note(file, {name: schema.to_dict() for name, schema in schemas.items()})
        return
    try:
        begun = {n: DatasetSchema.from_dict(s) for n, s in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError, LramError) as error:
        raise DataError(f"{file}: unreadable ({one_line(error)})") from None
    problems = [f"suite {name} is missing" for name in begun if name not in schemas]
    problems += [f"suite {name} is new" for name in schemas if name not in begun]
    for name, schema in schemas.items():
        if name in begun:
            longest = begun[name].max_episode_steps  # grows with the data; no weight depends on it
            problems += schema_differences(replace(schema, max_episode_steps=longest), begun[name])
    if problems:
        raise CommandError(
            f"{listed(data.path for data in datasets)} does not fit the run in {run}, which was "
            f"begun with other fields: {listed(problems, 8)}; choose another --run folder, or use "
            "the data it was begun with"
        )


def check_content(run: Path, datasets: list[Dataset]) -> None:
    """Compare the episodes with those the run was begun with, or note them.

    What a checkpoint says of the streams is of these episodes alone.

    Raises:
        CommandError: they are others; the message names both sides. DataError: unreadable.
    """
    file = run / CONTENT
    ours = [
        {"episodes": len(data), "ticks": data.steps, "sha256": data.checksums} for data in datasets
    ]
    if not file.exists():
        _note(file, ours)
        return
    try:
        begun = [dict(each) for each in json.loads(file.read_text())]
        told = [f"{each['episodes']} episodes of {each['ticks']} ticks" for each in begun]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: unreadable ({one_line(error)})") from None
    if begun != ours:
        now = [f"{data.path} ({len(data)} episodes of {data.steps} ticks)" for data in datasets]
        raise CommandError(
            f"{run} was begun with other data: {listed(told, 8)}; now {listed(now, 8)}. To "
            "go on with more data, give --init the bundle of this run and --run another folder"
        )


def _note(file: Path, what: Any) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(what, indent=1) + "\n")
