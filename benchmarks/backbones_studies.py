"""What :mod:`benchmarks.backbones` compares backbones on: a study for each domain.

The tasks and the perturbation of the demonstrations are those of :mod:`benchmarks.domains`.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.domains import DOMAINS


@dataclass(frozen=True)
class Study:
    """Defaults of the command's options, for one domain.

    Attributes:
        held_out: tasks that no model is trained on, or splits of the suite.
        widths: of the models.
        episodes: demonstrations a task.
        steps: optimiser steps of each model.
        batch: windows of 50 ticks a step.
        spread: of the labels, in bins, see :class:`lram_core.training.config.TrainConfig`.
        validation: share of the demonstrations that the held-out loss is of.
        evaluations: episodes a task and model.
    """

    held_out: tuple[str, ...]
    widths: tuple[int, ...]
    episodes: int
    steps: int
    batch: int
    spread: float
    validation: float
    evaluations: int

    @property
    def options(self) -> dict[str, object]:
        """Defaults by the names of the options."""
        return vars(self)


STUDIES = {
    "metaworld": Study(
        held_out=("ml45-test",),
        widths=(32, 64, 96, 128),
        episodes=60,
        steps=300,
        batch=8,
        spread=0.0,
        validation=0.1,
        evaluations=10,
    ),
    "robosuite-panda": Study(
        held_out=("pick-place-milk",),
        widths=(96,),
        episodes=200,
        steps=600,
        batch=8,
        spread=3.0,
        validation=0.05,
        evaluations=10,
    ),
    "dmcontrol": Study(
        held_out=("test",),
        widths=(96,),
        episodes=30,
        steps=300,
        batch=8,
        spread=3.0,
        validation=0.05,
        evaluations=5,
    ),
}
"""Suite → its study. Held out are the tasks that the paper holds out, where it has the suite."""


def tasks_of(suite: str) -> tuple[str, ...]:
    """Names of the tasks that the models of a study are trained on."""
    return DOMAINS[suite][0]


def noise_of(suite: str) -> float:
    """Perturbation of a study's demonstrations."""
    return DOMAINS[suite][1]
