"""Scripted experts for robosuite: where the hand should be, from where everything is.

An expert looks at the simulation each tick and asks for one Cartesian target; what it does follows
from the state, not from a clock, so after a push it picks up again wherever the push has left it.
One expert serves both action spaces: :class:`lram_sim.robosuite_motion.Mover` does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_door import DoorPlan
from lram_sim.robosuite_motion import GAIN, Mover
from lram_sim.robosuite_nut import NutPlan
from lram_sim.robosuite_placing import LiftPlan, PickPlacePlan, StackPlan
from lram_sim.robosuite_target import Target

if TYPE_CHECKING:
    from lram_sim.robosuite_suite import RobosuiteTask

Array = npt.NDArray[np.float64]


class Plan(Protocol):
    """Decides where the hand should be."""

    def target(self) -> Target: ...


class RobosuiteExpert:
    """Follows a plan; actions are within the limits and rounded to single precision."""

    def __init__(self, plan: Plan, mover: Mover) -> None:
        self._plan, self._mover = plan, mover

    def act(self, observation: Array) -> Array:
        """Return the action for the simulation as it stands, float64 (action_size,)."""
        return self._mover.action(self._plan.target())


def make_expert(task: RobosuiteTask) -> RobosuiteExpert:
    """Return a new expert for the episode that has just been reset."""
    plans = {"lift": LiftPlan, "stack": StackPlan, "door": DoorPlan}
    if task.name.startswith("pick-place"):
        plan: Plan = PickPlacePlan(task.scene, task.name, leans=task.mode == "joint")
    elif task.name.startswith("nut"):
        plan = NutPlan(task.scene, task.name.removeprefix("nut-assembly-"))
    else:
        plan = plans[task.name](task.scene)
    # The pegs are at the end of the reach, where deltas of the hand must not overshoot: the elbow
    # would be drawn straight.
    steady = isinstance(plan, NutPlan) and task.mode == "osc"
    mover = Mover(task.scene, task.mode, 1.0 if steady else GAIN)
    return RobosuiteExpert(plan, mover)
