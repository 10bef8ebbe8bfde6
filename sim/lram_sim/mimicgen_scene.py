"""What is to be seen in a MimicGen task: hand, gripper and objects, as named sensors.

All tasks share one layout, so that one policy serves them all: four slots for objects, each with
its pose in the world and in the hand, and one joint; what a task has not is zero.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_names import split_task
from lram_sim.mimicgen_tasks import SPECS
from lram_sim.mimicgen_world import World
from lram_sim.robosuite_env import Arm
from lram_sim.robosuite_scene import DOWN, UPRIGHT, Scene, xyzw

Array = npt.NDArray[np.float64]

SLOTS = 4
JOINT = "object_joint_position"


def object_sensors() -> list[tuple[str, int, str]]:
    """Return name, size and unit of the sensors of the objects, in order."""
    rows = []
    for index in range(1, SLOTS + 1):
        for where in (f"object_{index}", f"object_{index}_in_hand"):
            rows += [(f"{where}_position", 3, "m"), (f"{where}_orientation", 4, "1")]
    return [*rows, (JOINT, 1, "rad, m")]


class MimicgenScene(Scene):
    """Reads a task's sensors out of the simulation.

    Attributes:
        world: the task's objects by name.
    """

    def __init__(self, env: Any, task: str, arm: Arm, mode: str) -> None:
        super().__init__(env, task, arm)
        self._joints = mode == "joint"
        hand = env.robots[0].gripper["right"]
        self._fingers = np.array([self.model.joint(name).qposadr[0] for name in hand.joints])

    def _read_objects(self, env: Any, task: str) -> None:
        spec = SPECS[split_task(task)[0]]
        self.world = World(
            self.model, self.data, spec.objects, spec.joint, self.fingers, self.grip_site
        )
        self.objects = list(self.world.bodies.values())
        self.goal = np.zeros(3)

    def sensors(self) -> dict[str, Array]:
        """Return sensor → reading, float64, in the order of the observation."""
        data = self.data
        found = {}
        if self._joints:
            found["joint_position"] = data.qpos[self.arm_qpos]
            found["joint_velocity"] = data.qvel[self.dofs]
        hand, turn = data.site_xpos[self.grip_site], self.world.hand_quaternion()
        found["ee_position"], found["ee_orientation"] = hand.copy(), xyzw(turn, DOWN)
        found["gripper_position"] = data.qpos[self._fingers]
        bodies = [*self.objects, *[None] * SLOTS][:SLOTS]
        for index, body in enumerate(bodies, start=1):
            poses = (np.zeros(3), np.zeros(4), np.zeros(3), np.zeros(4))
            if body is not None:
                poses = _poses(data.xpos[body], data.xquat[body], hand, turn)
            for (name, _, _), value in zip(_SENSORS[4 * (index - 1) :], poses, strict=False):
                found[name] = value
        found[JOINT] = np.array([self.world.joint()])
        return found

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return frame → position and orientation (x, y, z, w) in the world."""
        data = self.data
        poses = {
            f"object_{index}": (data.xpos[body].copy(), xyzw(data.xquat[body], UPRIGHT))
            for index, body in enumerate(self.objects, start=1)
        }
        return {**self._robot_frames(), **poses}


_SENSORS = object_sensors()


def _poses(
    place: Array, pose: Array, hand: Array, turn: Array
) -> tuple[Array, Array, Array, Array]:
    """Return position and orientation in the world, then in the hand."""
    back, relative, inside = np.zeros(4), np.zeros(4), np.zeros(3)
    mujoco.mju_negQuat(back, turn)
    mujoco.mju_rotVecQuat(inside, place - hand, back)
    mujoco.mju_mulQuat(relative, back, pose)
    return place.copy(), xyzw(pose, UPRIGHT), inside, xyzw(relative, DOWN)
