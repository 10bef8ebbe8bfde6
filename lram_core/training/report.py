"""What a training tells while it runs: on the terminal, in the run folder, to a tracker."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import torch

from lram_core.training.batch import in_bf16
from lram_core.training.checkpoint import Trainee, checkpoints
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain
from lram_core.training.parallel import Processes
from lram_core.training.progress import duration, progress_bar
from lram_core.training.rollouts import SUCCESS, describe, mean, note_rollouts
from lram_core.training.run_folder import (
    MetricsFile,
    draw_curves,
    note_environment,
    plain_settings,
)
from lram_core.training.speed import Stopwatch, peak_flops, step_flops
from lram_core.training.trackers import finite, open_tracker
from lram_core.training.validation import brief, metric_names

LOG_COLUMNS = ("step", "seconds", "ticks_per_s", "lr", "train_loss")
"""The first columns of ``metrics.csv``; what is measured on held-out episodes follows."""
SPEED_COLUMNS = ("mfu", "data_share")
"""The last columns, see :mod:`lram_core.training.speed`."""

REDRAW = 60.0
"""Seconds between two drawings of the curves."""


_NOT_TOLD = {*LOG_COLUMNS[:-1], *SPEED_COLUMNS, "perplexity"}
"""What a line of the terminal leaves to ``metrics.csv``."""


def told(values: dict[str, float]) -> list[str]:
    """Return what people want to know of a row, in words."""
    known = {n: v for n, v in brief(values).items() if n not in _NOT_TOLD and not math.isnan(v)}
    first = {name: known[name] for name in ("train_loss",) if name in known}
    return [f"{name} {value:.4g}" for name, value in {**first, **known}.items()]


class Report:
    """Of several processes, the first one's talks and writes. Use as a context manager."""

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        data: list[Path],
        domains: list[Domain],
        trainee: Trainee,
        processes: Processes,
        device: torch.device,
    ) -> None:
        self._run, self._config, self._data = run, config, data
        self._domains, self._trainee = domains, trainee
        self._processes, self._device = processes, device
        self._stack = ExitStack()
        self._scores: dict[str, float] = {}

    def __enter__(self) -> Report:
        parameters = sum(p.numel() for p in self._trainee.model.parameters())
        title = f"{parameters / 1e6:.2f}M parameters"
        self._progress = self._stack.enter_context(
            progress_bar(title, quiet=not self._processes.main)
        )
        return self

    def start(self) -> None:
        """Open the files, and begin to count the time."""
        config, device, step = self._config, self._device, self._trainee.step
        self._flops = 0
        if self._processes.count == 1 or config.parallel == "ddp":
            self._flops = step_flops(self._trainee.average, self._domains, config, device)
        self._peak, source = peak_flops(device, in_bf16(device, config))
        if self._processes.main:
            success = (SUCCESS,) if config.rollout_every else ()
            columns = (*LOG_COLUMNS, *metric_names(self._domains), *success, *SPEED_COLUMNS)
            note_environment(
                self._run, device, self._processes.count, step, {"flops": self._peak, "is": source}
            )
            self._metrics = MetricsFile(self._run, columns, step)
            self._stack.callback(self._metrics.close)
            settings = plain_settings(config, self._data)
            self._tracker = open_tracker(self._run, config, settings, step + 1, self.say)
            self._stack.push(lambda kind, *_: self._tracker.close(cut_off=kind is not None))
        self._first, self._before = step, self._trainee.seconds
        self._began = time.monotonic() - self._before
        self._drawn = time.monotonic()
        self.advance()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is KeyboardInterrupt:
            kept = checkpoints(self._run)
            where = f"the checkpoint {kept[-1].name}" if kept else "the beginning"
            self.say(f"ends at step {self._trainee.step}; the same command goes on from {where}")
        self._stack.__exit__(kind, error, trace)
        if self._processes.main and kind is None:
            self._draw()

    @property
    def seconds(self) -> float:
        """How long the training has run, with what it did before it was cut off."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        self._progress.say(text)

    def advance(self) -> None:
        """Show how many steps are done."""
        self._progress.show(self._done, self._step, self.seconds_left)

    @property
    def seconds_left(self) -> float | None:
        """Time to the end, at the speed since this start; None before its first step."""
        step, config = self._trainee.step, self._config
        if step <= self._first:
            return None
        each = (self.seconds - self._before) / (step - self._first)
        left = each * (config.steps - step)
        return max(0.0, min(left, 60 * config.minutes - self.seconds) if config.minutes else left)

    @property
    def _done(self) -> float:
        minutes = self._config.minutes
        used = self.seconds / (60 * minutes) if minutes else 0.0
        return min(1.0, max(self._trainee.step / self._config.steps, used))

    @property
    def _step(self) -> str:
        # Of a run of some minutes it is not known how many steps there will be.
        total = "" if self._config.minutes else f"/{self._config.steps}"
        return f"step {self._trainee.step}{total}"

    def speed(self, watch: Stopwatch) -> dict[str, float]:
        """Return how fast the last steps were, of all processes together."""
        parts = watch.steps * self._config.accumulate
        ticks = parts * self._processes.count * self._config.batch * self._config.context
        values = {
            "seconds": self._trainee.seconds,
            "ticks_per_s": ticks / watch.seconds,
            "data_share": watch.data_share,
        }
        if self._flops:
            values["mfu"] = parts * self._flops / watch.seconds / self._peak
        return values

    def rollouts(self, scores: dict[str, float]) -> dict[str, float]:
        """Take the rollouts of this step. Returns what of it goes into the row."""
        self.say(describe(scores))
        note_rollouts(self._run, self._trainee.step, scores)
        self._scores = {f"rollout/{task}": score for task, score in scores.items()}
        return {SUCCESS: mean(scores)}

    def row(self, values: dict[str, float]) -> None:
        """Take the metrics of this step."""
        if not self._processes.main:
            return
        self._metrics.write(self._trainee.step, values)
        self._tracker.log(self._trainee.step, finite({**self._scores, **values}))
        self._scores = {}
        left = self.seconds_left
        parts = [self._step, *told(values), f"{values['ticks_per_s']:.0f} ticks/s"]
        self.say("  ".join([*parts, *([f"{duration(left)} left"] if left else [])]))
        if time.monotonic() - self._drawn > REDRAW:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        if why := draw_curves(self._run):
            self.say(why)
