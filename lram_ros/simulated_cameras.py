"""A policy that looks through cameras, behind the simulation bridge: what it adds to the graph.

The bridge publishes the camera NAME as ``camera_NAME/image_raw``, which is the name of the
observation field that ``lram collect --camera NAME`` records.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from lram_core.contract import ObservationField

FIELD = "camera_"
MAX_AGE = 0.2
"""Seconds; as the bridge's other topics have."""


def pictures(observation: Iterable[ObservationField]) -> list[ObservationField]:
    """Return the fields that are pictures of a simulated camera."""
    return [field for field in observation if field.picture and field.name.startswith(FIELD)]


def bridge_cameras(fields: Iterable[ObservationField]) -> str:
    """Return the bridge's parameter ``cameras`` for these fields."""
    sizes = [(field.name.removeprefix(FIELD), *field.picture[:2]) for field in fields]
    return ",".join(f"{name}:{width}x{height}" for name, height, width in sizes)


def contract_with(contract: Path, fields: Iterable[ObservationField], path: Path) -> Path:
    """Write a robot contract with a picture topic for each of these fields; returns ``path``."""
    data = yaml.safe_load(contract.read_text())
    for field in fields:
        height, width, _ = field.picture
        data["inputs"].append(
            {
                "topic": f"{field.name}/image_raw",
                "type": "sensor_msgs/msg/Image",
                "max_age": MAX_AGE,
                "fields": {field.name: {"height": height, "width": width}},
            }
        )
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path
