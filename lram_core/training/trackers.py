"""Where metrics go besides ``metrics.csv``: TensorBoard, or Weights & Biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, one_line
from lram_core.training.config import TrainConfig

TENSORBOARD, WANDB = "tensorboard", "wandb-run.txt"


class Tracker(Protocol):
    """Takes metrics, once a step; ``close`` is told whether the run was cut off."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self, cut_off: bool = False) -> None: ...


class NoTracker:
    """Takes nothing."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def close(self, cut_off: bool = False) -> None:
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

    def close(self, cut_off: bool = False) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases; one that was cut off goes on under the same id.

    ``wandb-run.txt`` holds the id and the last step that was given. Steps that a run takes once
    more, from its last checkpoint on, are not given again: the service keeps the first value.
    """

    def __init__(self, run: Path, config: TrainConfig, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ModuleNotFoundError:
            raise CommandError(
                "tracker 'wandb' needs the Python module 'wandb', which is not installed; "
                "available without it: tensorboard, none"
            ) from None
        self._note = run / WANDB
        known = self._note.read_text().split() if self._note.exists() else [uuid4().hex[:8]]
        self._id, self._last = known[0], int(known[1]) if len(known) > 1 else 0
        self._keep()
        try:
            self._run: Any = wandb.init(
                project=config.wandb_project,
                name=run.name,
                dir=str(run),
                config=dict(settings),
                id=self._id,
                resume="allow",
            )
        except wandb.Error as error:
            raise CommandError(
                f"tracker 'wandb': {one_line(error)} Without the service: the "
                "environment variable WANDB_MODE=offline, or tracker tensorboard or none"
            ) from None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step > self._last:
            # Without commit, the values wait for the next step, and a kill would take them along.
            self._run.log(dict(values), step=step, commit=True)
            self._last = step
            self._keep()

    def close(self, cut_off: bool = False) -> None:
        self._run.finish(exit_code=int(cut_off))

    def _keep(self) -> None:
        with atomic_path(self._note) as temporary:
            temporary.write_text(f"{self._id} {self._last}\n")


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
        CommandError: Weights & Biases is asked for, and not installed or out of reach.
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
