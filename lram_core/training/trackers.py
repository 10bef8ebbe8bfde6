"""Where metrics go besides ``metrics.csv``: TensorBoard, or Weights & Biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from lram_core.errors import CommandError
from lram_core.training.config import TrainConfig

TENSORBOARD, WANDB = "tensorboard", "wandb-run.txt"


class Tracker(Protocol):
    """Takes metrics, step by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class NoTracker:
    """Takes nothing."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Event files in ``tensorboard/`` of the run folder, by the writer that comes with torch."""

    def __init__(self, run: Path, first_step: int) -> None:
        """Events from ``first_step`` on, of a run that was cut off, are hidden."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(run / TENSORBOARD), purge_step=first_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; one that was cut off goes on under the same id."""

    def __init__(self, run: Path, config: TrainConfig, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ModuleNotFoundError:
            raise CommandError(
                "tracker 'wandb' needs the Python module 'wandb', which is not installed; "
                "available without it: tensorboard, none"
            ) from None
        note = run / WANDB
        known = note.read_text().strip() if note.exists() else None
        self._run: Any = wandb.init(
            project=config.wandb_project,
            name=run.name,
            dir=str(run),
            config=dict(settings),
            id=known,
            resume="allow",
        )
        note.write_text(f"{self._run.id}\n")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


def open_tracker(
    run: Path,
    config: TrainConfig,
    settings: Mapping[str, Any],
    first_step: int,
    say: Callable[[str], None],
) -> Tracker:
    """Return the tracker that the settings ask for.

    Args:
        run: run folder.
        config: the settings; ``settings``: the same as plain data, with the data's paths.
        first_step: step whose metrics come next.
        say: is told where TensorBoard, the default, is not installed.

    Raises:
        CommandError: Weights & Biases is asked for and not installed.
    """
    if config.tracker == "wandb":
        return WeightsAndBiases(run, config, settings)
    if config.tracker == "tensorboard":
        try:
            return TensorBoard(run, first_step)
        except ModuleNotFoundError as error:
            say(f"TensorBoard is not installed ({error.name}): metrics.csv has the figures")
    return NoTracker()


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are numbers: nothing is held out of some data."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
