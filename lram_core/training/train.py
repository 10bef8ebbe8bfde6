"""The trainer: readable from top to bottom.

Datasets in, policy bundle out; a run folder keeps settings, surroundings, metrics, curves and
checkpoints to resume from.
"""

from __future__ import annotations

import math
import shutil
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lram_core.bundle import holds, load_joint_bundle, save_joint_bundle
from lram_core.data.files import atomic_folder
from lram_core.data.manage import check_finite
from lram_core.data.store import Dataset
from lram_core.device import resolve_device
from lram_core.errors import CommandError, DataError
from lram_core.joint_model import JointModel
from lram_core.machine import machine_name
from lram_core.training.card import SPLIT, model_card
from lram_core.training.checkpoint import Trainee, checkpoints
from lram_core.training.config import TrainConfig
from lram_core.training.disk import told_of_disk
from lram_core.training.domains import load_domains, summary, twins
from lram_core.training.memory import told_of_memory
from lram_core.training.optimizers import learning_rate, make_optimizers, set_learning_rate
from lram_core.training.parallel import (
    Processes,
    check_parallel,
    network_of,
    spread,
    started,
    whole,
)
from lram_core.training.places import check_places, locked
from lram_core.training.report import Report
from lram_core.training.rollouts import BEST, SUCCESS, Rollouts, load_rollouts, mean
from lram_core.training.run_folder import open_run
from lram_core.training.speed import Stopwatch
from lram_core.training.start import Origin, freeze_shared, set_input_norms, start_from
from lram_core.training.step import next_parts, take_step
from lram_core.training.validation import metric_names, validate_all

CANDIDATE = ".candidate"


def train(
    data: list[Path],
    out: Path,
    run: Path,
    config: TrainConfig,
    rollouts: Rollouts | None = None,
) -> dict[str, float]:
    """Train a policy and write its bundle.

    Under ``torchrun`` every process calls it; see :mod:`lram_core.training.parallel`.

    Args:
        data: dataset folders; those of one suite have one schema and are one embodiment.
        out: bundle folder to write.
        run: run folder, see :mod:`lram_core.training.run_folder`. A run that was cut off continues
            from its last checkpoint.
        config: settings.
        rollouts: what measures the policy in between; None for what the settings say.

    Returns:
        The last validation metrics, see :func:`lram_core.training.validation.validate_all`.

    Raises:
        DataError: a dataset or checkpoint is unusable, the loss is not finite any more, or the
            disk is full.
        CommandError: ``out`` is something else than a bundle, ``run`` another run's folder or in
            use, the bundle to start from does not fit, the settings contradict each other, or the
            GPU's memory is too small.
        ContractError: the data's embodiment is not that of the suite to roll out in.
    """
    if config.freeze_shared and not config.init:
        raise CommandError("freeze_shared keeps the weights of a bundle: it needs init (--init)")
    device = resolve_device(config.device)
    rollouts = rollouts or load_rollouts(config)
    exact = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with (
            started(device) as (processes, device),
            told_of_memory(config, processes.count),
            told_of_disk(lambda: checkpoints(run)),
        ):
            check_parallel(config, processes)
            with processes.first_alone() as ours:
                if ours:
                    check_places(data, out, run)
            torch.manual_seed(config.seed)
            return _Training(data, out, run, config, rollouts, processes, device).run_to_the_end()
    finally:
        torch.set_float32_matmul_precision(exact)  # of policies that this process runs later


class _Training:
    """What :func:`train` sets up, and its loop."""

    def __init__(
        self,
        data: list[Path],
        out: Path,
        run: Path,
        config: TrainConfig,
        rollouts: Rollouts | None,
        processes: Processes,
        device: torch.device,
    ) -> None:
        self.data, self.out, self.run, self.config = data, out, run, config
        self.rollouts, self.processes, self.device = rollouts, processes, device
        self.datasets = [Dataset.open(path) for path in data]
        with processes.first_alone() as ours:
            for dataset in self.datasets if ours else ():
                dataset.verify()
                check_finite(dataset)
        self.domains = load_domains(self.datasets, config, device)
        self.contracts = {domain.name: domain.contract(config) for domain in self.domains}
        if rollouts:
            rollouts.check(self.contracts)
        self.shapes = {domain.name: domain.shape(config) for domain in self.domains}
        self.twins = twins(self.domains, config)
        model = self._new_model().to(device)
        self.origin = self._start(model)
        if config.freeze_shared:
            freeze_shared(model)
        average = self._new_model().to(device)
        average.load_weights(model.weights())
        for each in (model, average):
            spread(each, config, processes)
        parts = processes.count * config.accumulate
        self.trainee = Trainee(
            model,
            average,
            make_optimizers(model, config),
            [domain.windows(config, parts) for domain in self.domains],
            [model.init_state(config.batch, device) for _ in range(config.accumulate)],
        )

    def run_to_the_end(self) -> dict[str, float]:
        """Train, and write the bundle. Returns the metrics of its weights."""
        with ExitStack() as held:
            with self.processes.first_alone() as ours:
                if ours:
                    held.enter_context(locked(self.run))
                    schemas = {domain.name: domain.schema for domain in self.domains}
                    open_run(self.run, self.config, self.datasets, schemas)
            return self._write(self._train())

    def _train(self) -> dict[str, float]:
        config, trainee, processes = self.config, self.trainee, self.processes
        notes: list[str] = []
        trainee.resume(self.run, processes, notes.append)
        network = network_of(trainee.model, config, processes, self.device)
        metrics: dict[str, float] = {}
        watch, every = Stopwatch(), config.rollout_every or config.steps
        with Report(
            self.run, config, self.data, self.domains, trainee, processes, self.device
        ) as report:
            for text in [*notes, *self._introduction()]:
                report.say(text)
            report.start()
            watch.restart()
            limit = 60 * config.minutes or math.inf
            over = trainee.step >= config.steps or trainee.seconds >= limit
            while not over:
                done = trainee.step / config.steps
                if config.minutes:
                    done = max(done, processes.agree(report.seconds / limit))
                lr = learning_rate(config, trainee.step, min(1.0, done))
                set_learning_rate(trainee.optimizers, lr)
                with watch.waiting():
                    parts = next_parts(
                        trainee.streams, self.domains, config, processes, self.device
                    )
                loss = take_step(network, trainee, parts, self.domains, config, self.device)
                trainee.losses.append(loss)
                trainee.step, trainee.seconds = trainee.step + 1, report.seconds

                over = trainee.step == config.steps or done >= 1.0
                rolls = bool(self.rollouts) and (over or trainee.step % every == 0)
                if over or rolls or trainee.step % config.evaluate_every == 0:
                    speed = report.speed(watch)
                    metrics = validate_all(trainee.average, self.domains, config, self.device)
                    metrics["train_loss"] = self._train_loss(lr)
                    if rolls:
                        metrics |= self._roll_out(report)
                    report.row({**speed, "lr": lr, **metrics})
                    watch.restart()
                if over or trainee.step % config.checkpoint_every == 0:
                    trainee.save(self.run, processes)
                report.advance()
        return metrics or validate_all(trainee.average, self.domains, config, self.device)

    def _start(self, model: JointModel) -> Origin | None:
        if self.config.init:
            return start_from(model, self.domains, Path(self.config.init))
        set_input_norms(model, self.domains)
        return None

    def _new_model(self) -> JointModel:
        return JointModel.create(self.shapes, self.twins)

    def _introduction(self) -> list[str]:
        told = [self.origin.describe()] if self.origin else []
        told += [domain.describe() for domain in self.domains]
        told += [f"{name} shares all with {other}" for name, other in self.twins.items()]
        if self.processes.count > 1:
            told.append(f"{self.processes.count} processes, {self.config.parallel}")
        if self.config.compile:
            told.append("the first step compiles the network, which can take minutes")
        if self.trainee.step:
            told.append(f"goes on from step {self.trainee.step}")
        return told

    def _train_loss(self, lr: float) -> float:
        """The mean loss since the last row, which is forgotten."""
        losses = self.processes.mean(self.trainee.losses)
        self.trainee.losses = []
        loss = float(torch.stack(losses).mean())
        if not math.isfinite(loss):
            raise DataError(
                f"the loss is not finite at step {self.trainee.step} (lr {lr:.3g}); "
                f"nothing was written to {self.out}. Try a smaller --lr"
            )
        return loss

    def _roll_out(self, report: Report) -> dict[str, float]:
        """Measure the policy in simulation; the best one so far is kept in the run folder."""
        model = self._whole_average()
        if not self.processes.main or self.rollouts is None:
            return {}
        candidate = self.run / CANDIDATE
        save_joint_bundle(candidate, model, self.contracts, "# Policy in training\n")
        scores = self.rollouts.measure(candidate)
        best = self.trainee.best
        if best is None or mean(scores) > best[0]:
            self.trainee.best = mean(scores), self.trainee.step
            with atomic_folder(self.run / BEST) as folder:
                shutil.copytree(candidate, folder, dirs_exist_ok=True)
        shutil.rmtree(candidate, ignore_errors=True)
        return report.rollouts(scores)

    def _whole_average(self) -> JointModel:
        """The running average as one model on the CPU; all processes must call it."""
        weights = {n: whole(v).detach().cpu() for n, v in self.trainee.average.weights().items()}
        model = self._new_model()
        model.load_weights(weights)
        return model.eval()

    def _write(self, metrics: dict[str, float]) -> dict[str, float]:
        """Write the bundle: of the last weights, or of those that did best in rollouts.

        Args:
            metrics: of the last weights.

        Returns:
            Those of the bundle's weights.
        """
        config, trainee = self.config, self.trainee
        model = self._whole_average()
        if not self.processes.main:
            return metrics
        kept: dict[str, Any] = {}
        if trainee.best:
            kept = {"success": trainee.best[0], "step": trainee.best[1]}
        if config.keep == "best":
            model = load_joint_bundle(self.run / BEST)[0]
            known = {n: v for n, v in metrics.items() if n not in metric_names(self.domains)}
            held_out = validate_all(model.to(self.device), self.domains, config, self.device)
            metrics = {**held_out, **known, SUCCESS: kept["success"]}
        if holds(self.out, model.cpu(), self.contracts):
            return metrics  # its card may have been measured since, and exports been added
        told = {
            "config": asdict(config),
            "paths": [str(path) for path in self.data],
            "out": str(self.out),
            "machine": f"{machine_name(self.device)}, torch {torch.__version__}",
            "continues": self.origin.training if self.origin else None,
            "processes": self.processes.count,
            "steps": trainee.step,
            "seconds": round(trainee.seconds, 1),
            "metrics": metrics,
            "best_rollouts": kept,
            "parameters": sum(p.numel() for p in model.parameters()),
            "data": [dataset.provenance for dataset in self.datasets],
            "split": SPLIT,
            **summary(self.domains),
        }
        save_joint_bundle(self.out, model, self.contracts, model_card(self.contracts, told), told)
        return metrics
