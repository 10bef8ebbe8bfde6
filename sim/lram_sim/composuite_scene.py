"""What is to be seen in a Composuite task: the benchmark's 93 numbers as named sensors."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.composuite_names import OBJECTIVES, OBJECTS, OBSTACLES, ROBOTS, split_task
from lram_sim.robosuite_env import Arm
from lram_sim.robosuite_scene import DOWN, UPRIGHT, finger_name, xyzw

Array = npt.NDArray[np.float64]

SENSORS = (
    ("object_position", 3, "m"),
    ("object_orientation", 4, "1"),
    ("object_in_hand_position", 3, "m"),
    ("object_in_hand_orientation", 4, "1"),
    ("obstacle_position", 3, "m"),
    ("obstacle_orientation", 4, "1"),
    ("obstacle_in_hand_position", 3, "m"),
    ("obstacle_in_hand_orientation", 4, "1"),
    ("goal_position", 3, "m"),
    ("goal_orientation", 4, "1"),
    ("goal_in_hand_position", 3, "m"),
    ("goal_in_hand_orientation", 4, "1"),
    ("object_to_goal", 3, "m"),
    ("object_id", 4, "1"),
    ("robot_id", 4, "1"),
    ("obstacle_id", 4, "1"),
    ("task_id", 4, "1"),
    ("joint_position_cos", 7, "1"),
    ("joint_position_sin", 7, "1"),
    ("joint_velocity", 7, "rad/s"),
    ("ee_position", 3, "m"),
    ("ee_orientation", 4, "1"),
    ("gripper_position", 2, "m"),
    ("gripper_velocity", 2, "m/s"),
)
"""Name, size and unit of every sensor in the order of the observation: object, obstacle, goal,
what task it is, the robot itself."""


class ComposuiteScene:
    """Reads a task's sensors out of the simulation.

    Attributes:
        model, data: the simulation (``mujoco.MjModel``, ``mujoco.MjData``).
        thing: number of the body to move.
        grip_site: site between the finger pads; its z axis points out of the hand, the fingers
            move along its x axis.
        qpos, dofs: the arm's part of the positions and velocities.
        finger_qpos: the fingers' part of the positions, left and right.
        arm_range: (7, 2) limits of the arm's joints, rad; infinite where there are none.
        goal: (3,) where the object's origin is to go, m.
        joint_names: names of the arm's joints on the wire, then of the fingers'.
    """

    def __init__(self, env: Any, robot: str, task: str, arm: Arm) -> None:
        self.model, self.data = env.sim.model._model, env.sim.data._data
        model, body = self.model, env.robots[0]
        self._arm, self._base = arm, int(self.model.body("robot0_base").id)
        joints = [model.joint(name) for name in body.robot_model.arm_joints]
        hand = body.gripper["right"]
        fingers = [model.joint(name) for name in hand.joints]
        self.joint_names = (*arm.joints, *(finger_name(arm, name) for name in hand.joints))
        self.qpos, self.finger_qpos = (
            np.array([joint.qposadr[0] for joint in some]) for some in (joints, fingers)
        )
        self.dofs, self._finger_dofs = (
            np.array([joint.dofadr[0] for joint in some]) for some in (joints, fingers)
        )
        ids = [joint.id for joint in joints]
        self.arm_range = model.jnt_range[ids].copy()
        self.arm_range[~model.jnt_limited[ids].astype(bool)] = -np.inf, np.inf
        self.grip_site = int(body.eef_site_id["right"])
        self.thing = int(env.thing_body)
        self._goal = model.body("goal").id
        self.goal = model.body_pos[self._goal].copy()
        thing, obstacle, objective = split_task(task)
        self._obstacle = model.body("obstacle").id if obstacle != "none" else None
        self._ids = {
            "object_id": _one_hot(OBJECTS, thing),
            "robot_id": _one_hot(ROBOTS, robot),
            "obstacle_id": _one_hot(OBSTACLES, obstacle),
            "task_id": _one_hot(OBJECTIVES, objective),
        }

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions and velocities of the arm's joints, then of the hand's."""
        qpos, qvel = self.data.qpos, self.data.qvel
        return (
            self.joint_names,
            np.concatenate((qpos[self.qpos], qpos[self.finger_qpos])),
            np.concatenate((qvel[self.dofs], qvel[self._finger_dofs])),
        )

    def sensors(self) -> dict[str, Array]:
        """Return sensor → reading, float64, in the order of the observation."""
        data = self.data
        q = data.qpos[self.qpos]
        hand, turn = data.site_xpos[self.grip_site], self._hand_orientation()
        place = data.xpos[self.thing]
        found = {}
        bodies = {"object": self.thing, "obstacle": self._obstacle, "goal": self._goal}
        for name, body in bodies.items():
            found.update(self._poses(name, body, hand, turn))
        found["object_to_goal"] = self.goal - place
        found.update({name: value.copy() for name, value in self._ids.items()})
        found["joint_position_cos"], found["joint_position_sin"] = np.cos(q), np.sin(q)
        found["joint_velocity"] = data.qvel[self.dofs]
        found["ee_position"], found["ee_orientation"] = hand.copy(), xyzw(turn, DOWN)
        found["gripper_position"] = data.qpos[self.finger_qpos]
        found["gripper_velocity"] = data.qvel[self._finger_dofs]
        return found

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return frame → position and orientation (x, y, z, w) in the world."""
        data = self.data
        bodies = {self._arm.base: self._base, "object": self.thing, "goal": self._goal}
        if self._obstacle is not None:
            bodies["obstacle"] = self._obstacle
        found = {
            name: (data.xpos[body].copy(), xyzw(data.xquat[body], UPRIGHT))
            for name, body in bodies.items()
        }
        hand = data.site_xpos[self.grip_site].copy(), xyzw(self._hand_orientation(), DOWN)
        return {**found, "end_effector": hand}

    def _poses(self, name: str, body: int | None, hand: Array, turn: Array) -> dict[str, Array]:
        """Return a body's pose in the world and in the hand; zeros for one that is not there."""
        position, inside = np.zeros(3), np.zeros(3)
        orientation, seen = np.zeros(4), np.zeros(4)
        if body is not None:
            place, pose = self.data.xpos[body], self.data.xquat[body]
            back, relative = np.zeros(4), np.zeros(4)
            mujoco.mju_negQuat(back, turn)
            mujoco.mju_rotVecQuat(inside, place - hand, back)
            mujoco.mju_mulQuat(relative, back, pose)
            position = place.copy()
            orientation, seen = xyzw(pose, UPRIGHT), xyzw(relative, DOWN)
        return {
            f"{name}_position": position,
            f"{name}_orientation": orientation,
            f"{name}_in_hand_position": inside,
            f"{name}_in_hand_orientation": seen,
        }

    def _hand_orientation(self) -> Array:
        """Return the hand's quaternion, w first."""
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self.grip_site])
        return quaternion


def _one_hot(names: tuple[str, ...], name: str) -> Array:
    return np.array([float(other == name) for other in names])
