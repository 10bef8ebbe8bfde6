"""The commands that made a bundle, for its card: typed again, they make the same settings."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import Any

from lram_core.backbones import SIZES
from lram_core.training.config import TrainConfig


def collect_command(path: str, provenance: dict[str, Any]) -> str:
    """Return the command that collected a dataset; empty where it came another way."""
    p = provenance.get("parameters")
    if not p:
        return ""
    words = ["lram", "collect", p["suite"], "--tasks", provenance["selection"]]
    words += ["--episodes", str(p["episodes"]), "--seed", str(p["seed"])]
    if p.get("histories"):
        return shlex.join([*words, "--histories", "--every", str(p["every"]), "--out", path])
    words += ["--noise", f"{p['noise']:g}"]
    if p["roll_in_fraction"]:
        words += [
            "--rollin",
            provenance["roll_in_bundle"],
            "--rollin-fraction",
            f"{p['roll_in_fraction']:g}",
        ]
    return shlex.join([*words, "--out", path])


def train_command(training: dict[str, Any]) -> str:
    """Return the command that trained a bundle, of what its ``config.json`` tells."""
    config = json.loads(json.dumps(training["config"]))
    words = ["lram", "train"]
    if (count := training.get("processes", 1)) > 1:
        words = ["torchrun", "--nproc-per-node", str(count), "-m", "lram_core.cli", "train"]
    for path in training["paths"]:
        words += ["--data", path]
    words += _size(config["backbone"], config["backbone_options"])
    standard = json.loads(json.dumps(asdict(TrainConfig())))
    changed = {
        key: value for key, value in config.items() if key in standard and value != standard[key]
    }
    if "--size" in words:
        changed.pop("backbone_options", None)
    for name in _OPTIONS:
        if name in changed:
            words += [f"--{name}", str(changed.pop(name))]
    words += ["--freeze-shared"] if changed.pop("freeze_shared", False) else []
    words += ["--share-alike"] if changed.pop("share_alike", False) else []
    words += ["--out", training["out"]]
    # What the command takes as it is, a text, and what it reads as YAML.
    as_told = {key: v if isinstance(v, str) else json.dumps(v) for key, v in changed.items()}
    return shlex.join([*words, *(f"{key}={text}" for key, text in as_told.items())])


_OPTIONS = (
    *("backbone", "init", "mix", "optimizer", "batch", "context", "lr", "steps", "minutes"),
    *("seed", "device", "spread", "span", "stride", "bins"),
)


def _size(backbone: str, options: dict[str, Any]) -> list[str]:
    """Return the named size, and what was changed of it."""

    def changes(size: str) -> dict[str, Any]:
        known = SIZES[backbone][size]
        return {name: value for name, value in options.items() if known.get(name) != value}

    fitting = [size for size in SIZES[backbone] if set(SIZES[backbone][size]) <= set(options)]
    if not fitting:
        return []
    nearest = min(fitting, key=lambda size: len(changes(size)))
    words = ["--size", nearest]
    for name, value in changes(nearest).items():
        words += ["--set", f"{name}={value}"]
    return words
