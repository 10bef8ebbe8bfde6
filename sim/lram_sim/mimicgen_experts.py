"""Scripted experts for the MimicGen tasks: the stages of a task, one plan each.

The stage is the first that is not done, whatever was done before: what falls down is put up again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lram_sim.mimicgen_drag import Freeing
from lram_sim.mimicgen_hand_plans import (
    ClosePlan,
    LidPlan,
    OpenPlan,
)
from lram_sim.mimicgen_names import split_task
from lram_sim.mimicgen_plans import (
    FirstPegPlan,
    MugPlan,
    NeighbourlyStack,
    PegPlan,
    PodPlan,
    SeatPlan,
    ThreadPlan,
)
from lram_sim.mimicgen_reaching import STRETCH
from lram_sim.mimicgen_rules import mug_in_drawer, piece_1_seated, pod_in_holder, stacked
from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.mimicgen_shapes import PEG_TOP
from lram_sim.robosuite_experts import Plan, RobosuiteExpert
from lram_sim.robosuite_motion import Mover
from lram_sim.robosuite_placing import PickPlacePlan
from lram_sim.robosuite_target import CLOSE, OPEN, Target

if TYPE_CHECKING:
    from lram_sim.mimicgen_suite import MimicgenTask

_RISE = 0.07
"""Height (m) that the open hand rises by between two stages."""
_OUT = 0.12
"""The drawer (m) is pulled this far."""


@dataclass(frozen=True)
class Stage:
    """A part of a task.

    Attributes:
        plan: makes the plan when the stage begins.
        done: whether there is nothing left to do in it.
    """

    plan: Callable[[], Plan]
    done: Callable[[], bool]


class StagedPlan:
    """Works on the first stage that is not done.

    Args:
        scene: the simulation.
        stages: in order; the last one is never skipped.
    """

    def __init__(self, scene: MimicgenScene, stages: list[Stage]) -> None:
        self._scene, self._stages = scene, stages
        self._index, self._plan = -1, None  # type: tuple[int, Plan | None]
        self._until, self._leave = -np.inf, OPEN

    def target(self) -> Target:
        """Return where the hand should be now."""
        site = self._scene.grip_site
        hand, turn = self._scene.data.site_xpos[site], self._scene.data.site_xmat[site]
        last = len(self._stages) - 1
        index = next((i for i, stage in enumerate(self._stages[:last]) if not stage.done()), last)
        if index != self._index:
            if self._index >= 0:
                self._until = hand[2] + _RISE
                self._leave = getattr(self._plan, "leave", OPEN)
            self._index, self._plan = index, None
        if hand[2] < self._until:
            ready = self._leave == CLOSE or self._scene.opening() > 0.6
            up = hand + np.array([0.0, 0.0, 0.1 if ready else 0.0])
            return Target(up, turn.reshape(3, 3).copy(), self._leave)
        self._until = -np.inf
        if self._plan is None:
            self._plan = self._stages[index].plan()
        return self._plan.target()


def make_expert(task: MimicgenTask) -> RobosuiteExpert:
    """Return a new expert for the episode that has just been reset."""
    plan = StagedPlan(task.scene, _stages(task))
    return RobosuiteExpert(plan, Mover(task.scene, task.mode, stretch=STRETCH))


def _stages(task: MimicgenTask) -> list[Stage]:
    scene = task.scene
    world, bodies = scene.world, scene.world.bodies

    def last(plan: Callable[[], Plan]) -> Stage:
        return Stage(plan, lambda: False)

    kind = split_task(task.name)[0]
    if kind == "stack":
        return [last(lambda: NeighbourlyStack(scene, "cube_a", "cube_b"))]
    if kind == "stack-three":
        return [
            Stage(lambda: NeighbourlyStack(scene, "cube_a", "cube_b"), lambda: stacked(world)),
            last(lambda: NeighbourlyStack(scene, "cube_c", "cube_a")),
        ]
    if kind == "square":
        peg = bodies["peg"]
        freeing = Freeing(scene, "nut", "peg")
        return [
            Stage(freeing.plan, freeing.done),
            last(lambda: PegPlan(scene, "square", bodies["nut"], peg, PEG_TOP)),
        ]
    if kind == "threading":
        return [last(lambda: ThreadPlan(scene))]
    if kind == "three-piece-assembly":
        return [
            Stage(
                lambda: SeatPlan(scene, "piece_1", "base"),
                lambda: piece_1_seated(world) and not world.held("piece_1"),
            ),
            last(lambda: SeatPlan(scene, "piece_2", "piece_1")),
        ]
    if kind == "coffee":
        return [
            Stage(lambda: PodPlan(scene), lambda: pod_in_holder(world) and not world.held("pod")),
            last(lambda: LidPlan(scene)),
        ]
    if kind == "mug-cleanup":
        return [
            Stage(lambda: OpenPlan(scene), lambda: world.joint() > _OUT or mug_in_drawer(world)),
            Stage(lambda: MugPlan(scene), lambda: mug_in_drawer(world)),
            last(lambda: ClosePlan(scene)),
        ]
    if kind == "nut-assembly":
        return [
            Stage(
                lambda: FirstPegPlan(scene, "square", bodies["square_nut"], bodies["square_peg"]),
                lambda: task.signal("place_square"),
            ),
            last(lambda: PegPlan(scene, "round", bodies["round_nut"], bodies["round_peg"])),
        ]
    names = ("milk", "bread", "cereal", "can")
    return [_placing(task, name, index) for index, name in enumerate(names)]


def _placing(task: MimicgenTask, name: str, index: int) -> Stage:
    scene = task.scene
    return Stage(
        lambda: PickPlacePlan(scene, name, scene.world.bodies[name], task.bin_placement(index)),
        lambda: task.signal(f"place_{name}"),
    )
