"""What :mod:`benchmarks.backbones` compares backbones on: a study for each suite."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.domains import DOMAINS


@dataclass(frozen=True)
class Study:
    """Defaults of the command's options, for one suite.

    Attributes:
        tasks: what the models are trained on.
        held_out: tasks that no model is trained on, or splits of the suite.
        widths: of the models.
        episodes: demonstrations a task.
        noise: perturbation of the demonstrations, as of ``lram collect``.
        steps: optimiser steps of each model.
        batch: windows of 50 ticks a step.
        spread: of the labels, in bins, see :class:`lram_core.training.config.TrainConfig`.
        validation: share of the demonstrations that the loss of unseen ones is of.
        evaluations: episodes a task and model.
    """

    tasks: tuple[str, ...]
    held_out: tuple[str, ...]
    widths: tuple[int, ...]
    episodes: int
    noise: float
    steps: int
    batch: int
    spread: float
    validation: float
    evaluations: int


STUDIES = {
    "metaworld": Study(
        tasks=DOMAINS["metaworld"][0],
        held_out=("ml45-test",),
        widths=(32, 64, 96, 128),
        episodes=60,
        noise=0.2,
        steps=300,
        batch=8,
        spread=0.0,
        validation=0.1,
        evaluations=10,
    ),
    "robosuite-panda": Study(
        tasks=("lift", "pick-place-can"),
        held_out=("pick-place-milk",),
        widths=(96,),
        episodes=200,
        noise=0.2,
        steps=1400,
        batch=4,
        spread=3.0,
        validation=0.05,
        evaluations=20,
    ),
}
"""Suite → its study. Meta-World's held-out tasks are those of the paper."""
