"""The run folder of a training: settings, metrics, and a checkpoint to continue from."""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lram_core.backbones import State
from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, DataError
from lram_core.joint_model import JointModel
from lram_core.training.config import TrainConfig

SETTINGS, METRICS, CHECKPOINT = "config.json", "metrics.csv", "checkpoint.pt"


@dataclass
class Trainee:
    """Everything that changes while training, and is needed to continue.

    Attributes:
        model, average: the weights and their running average.
        optimizers: their optimisers.
        state: recurrent state carried from window to window.
        step: optimiser steps done. seconds: time they took.
    """

    model: JointModel
    average: JointModel
    optimizers: list[torch.optim.Optimizer]
    state: State
    step: int = 0
    seconds: float = 0.0

    def save(self, run: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        with atomic_path(run / CHECKPOINT) as temporary:
            torch.save(
                {
                    "step": self.step,
                    "seconds": self.seconds,
                    "model": self.model.weights(),
                    "average": self.average.weights(),
                    "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                    "state": self.state,
                },
                temporary,
            )

    def resume(self, run: Path, device: torch.device) -> None:
        """Continue from the run's checkpoint where there is one.

        Metrics written after it are dropped: they will be written again.

        Raises:
            DataError: the checkpoint is unreadable.
        """
        file = run / CHECKPOINT
        if file.exists():
            try:
                saved = torch.load(file, map_location=device, weights_only=True)
                self.model.load_weights(saved["model"])
                self.average.load_weights(saved["average"])
                for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
                    optimizer.load_state_dict(values)
                self.state = saved["state"]
                self.step, self.seconds = saved["step"], saved["seconds"]
            except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
                line = " ".join(str(error).split())[:200]
                raise DataError(f"{file}: unreadable checkpoint ({line}); remove it") from None
        _keep_metrics(run / METRICS, self.step)


def open_run(run: Path, config: TrainConfig, data: list[Path]) -> None:
    """Make the run folder, or reopen it.

    Raises:
        CommandError: it holds a run with other settings. DataError: its settings are unreadable.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = _plain({"data": [str(path) for path in data], **asdict(config)})
    file = run / SETTINGS
    if not file.exists():
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n")
        return
    try:
        # A setting that is younger than the run had the effect of its default.
        found = {**_plain(asdict(TrainConfig())), **json.loads(file.read_text())}
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}: unreadable settings ({error}); remove the run folder") from None
    changed = [
        f"{k} {found.get(k)!r} (now {v!r})" for k, v in settings.items() if found.get(k) != v
    ]
    if changed:
        raise CommandError(
            f"{run} holds a run with other settings: {', '.join(changed)}; "
            "choose another --run folder, or remove this one"
        )


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings as JSON gives them back: tuples have become lists."""
    return dict(json.loads(json.dumps(settings)))


def _keep_metrics(file: Path, step: int) -> None:
    if not file.exists():
        return
    with file.open(newline="") as source:
        rows = list(csv.reader(source))
    kept = [row for row in rows[1:] if row and int(row[0]) <= step]
    with atomic_path(file) as temporary, temporary.open("w", newline="") as target:
        csv.writer(target).writerows(rows[:1] + kept if kept else [])
