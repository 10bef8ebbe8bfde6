"""What is to be seen in a robosuite task: objects, goal, hand and joints, as named sensors.

All tasks share one layout, so that one policy serves them all: what a task has not is zero.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_env import Arm

Array = npt.NDArray[np.float64]

DOWN = np.array([0.5, 0.5, 0.0, 0.0]) * np.sqrt(2)
"""Orientation (x, y, z, w) of a hand that points down, turned as at the start of an episode."""
UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])

_OBJECTS = {
    "lift": ("cube", ""),
    "stack": ("cubeA", "cubeB"),
    "pick-place-can": ("Can", ""),
    "pick-place-milk": ("Milk", ""),
    "pick-place-bread": ("Bread", ""),
    "pick-place-cereal": ("Cereal", ""),
    "nut-assembly-square": ("SquareNut", "peg1"),
    "nut-assembly-round": ("RoundNut", "peg2"),
    "door": ("Door_latch", "Door_door"),
}
"""Task → the body to move and the body it is moved to (or, for the door, the panel)."""
_FIXED = ("peg1", "peg2", "Door_latch", "Door_door")
_HANDLE = "Door_handle"


class Scene:
    """Reads a task's sensors out of the simulation.

    Attributes:
        model, data: the simulation (``mujoco.MjModel``, ``mujoco.MjData``).
        objects: body numbers of the first and the second object; None for one that is not there.
        grip_site: site between the finger pads; its z axis points out of the hand, the fingers
            move along its x axis.
        arm_qpos, dofs: the arm's places in the positions and in the velocities.
        goal: (3,) where the object is to go, m; zero in a task without.
        fingers: geoms of the left and of the right finger.
    """

    def __init__(self, env: Any, task: str, arm: Arm) -> None:
        self.model, self.data = env.sim.model._model, env.sim.data._data
        self._arm = arm
        robot = env.robots[0]
        names = robot.robot_model.arm_joints
        joints = [self.model.joint(name) for name in names]
        hand = robot.gripper["right"]
        fingers = [self.model.joint(name) for name in hand.joints]
        self.joint_names = (*arm.joints, *(finger_name(arm, name) for name in hand.joints))
        self._qpos = np.array([joint.qposadr[0] for joint in (*joints, *fingers)])
        self._qvel = np.array([joint.dofadr[0] for joint in (*joints, *fingers)])
        # Franka's own description counts both fingers' ways as positive.
        mirrored = [arm.model == "Panda" and name.endswith("joint2") for name in hand.joints]
        self._signs = np.array([*[1.0] * len(joints), *(-1.0 if m else 1.0 for m in mirrored)])
        count = len(joints)
        self.arm_qpos, self.dofs = self._qpos[:count], self._qvel[:count]
        self.arm_range = self.model.jnt_range[[joint.id for joint in joints]].copy()
        limited = self.model.jnt_limited[[joint.id for joint in joints]].astype(bool)
        self.arm_range[~limited] = -np.inf, np.inf
        self._base = int(self.model.body("robot0_base").id)
        self.grip_site = int(robot.eef_site_id["right"])
        self.gripper = arm.gripper
        self._read_hand(hand)
        self._read_objects(env, task)

    def _read_hand(self, hand: Any) -> None:
        """Find the fingers."""
        names, suffix = hand.joints, self.gripper.joint
        leading = names[[name.endswith(suffix) for name in names].index(True)]
        self._leading = int(self.model.joint(leading).qposadr[0])
        self.fingers = tuple(
            np.array([self.model.geom(name).id for name in hand.important_geoms[side]])
            for side in ("left_finger", "right_finger")
        )

    def _read_objects(self, env: Any, task: str) -> None:
        """Find the task's bodies and its goal."""
        first, second = _OBJECTS[task]
        self.objects: list[int | None] = [self._body(first), self._body(second) if second else None]
        self._handle = self.model.site(_HANDLE).id if task == "door" else None
        self.goal = np.zeros(3)
        if task.startswith("pick-place"):
            self.goal = np.array(env.target_bin_placements[env.object_id])

    def _body(self, name: str) -> int:
        return int(self.model.body(name if name in _FIXED else f"{name}_main").id)

    def arm_positions(self) -> Array:
        """Return the arm's joint positions, rad."""
        return np.array(self.data.qpos[self.arm_qpos])

    def opening(self) -> float:
        """Return how far the hand is open, about 0 (closed) to 1."""
        closed, opened = self._arm.gripper.span
        return float((self.data.qpos[self._leading] - closed) / (opened - closed))

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions and velocities of the arm's joints, then of the hand's."""
        data, signs = self.data, self._signs
        return self.joint_names, signs * data.qpos[self._qpos], signs * data.qvel[self._qvel]

    def sensors(self) -> dict[str, Array]:
        """Return sensor → reading, float64, in the order of the observation."""
        data = self.data
        first, second = self.objects
        position = data.xpos[first] if self._handle is None else data.site_xpos[self._handle]
        none = second is None
        return {
            "joint_position": data.qpos[self.arm_qpos],
            "joint_velocity": data.qvel[self.dofs],
            "gripper_opening": np.array([self.opening()]),
            "ee_position": data.site_xpos[self.grip_site].copy(),
            "ee_orientation": self._hand_orientation(),
            "object_1_position": position.copy(),
            "object_1_orientation": xyzw(data.xquat[first], UPRIGHT),
            "object_2_position": np.zeros(3) if none else data.xpos[second].copy(),
            "object_2_orientation": np.zeros(4) if none else xyzw(data.xquat[second], UPRIGHT),
            "goal_position": self.goal.copy(),
        }

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return frame → position and orientation (x, y, z, w) in the world."""
        data = self.data
        first, second = self.objects
        frames = {
            **self._robot_frames(),
            "object_1": (data.xpos[first].copy(), xyzw(data.xquat[first], UPRIGHT)),
        }
        if second is not None:
            frames["object_2"] = (data.xpos[second].copy(), xyzw(data.xquat[second], UPRIGHT))
        return frames

    def _robot_frames(self) -> dict[str, tuple[Array, Array]]:
        data = self.data
        return {
            self._arm.base: (data.xpos[self._base].copy(), xyzw(data.xquat[self._base], UPRIGHT)),
            "end_effector": (data.site_xpos[self.grip_site].copy(), self._hand_orientation()),
        }

    def _hand_orientation(self) -> Array:
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self.grip_site])
        return xyzw(quaternion, DOWN)


def finger_name(arm: Arm, name: str) -> str:
    """The wire's name of a hand's joint: robosuite's without its prefix, Franka's own for Panda.

    Empty for a tool that has none.
    """
    short = name.removeprefix("gripper0_right_")
    return f"panda_{short}" if short and arm.model == "Panda" else short


def xyzw(wxyz: Array, reference: Array) -> Array:
    """Return a quaternion in the order x, y, z, w, with the sign that is nearer to ``reference``.

    Both signs are the same rotation; one that flipped would look like a jump to a policy.
    """
    turned: Array = np.array([wxyz[1], wxyz[2], wxyz[3], wxyz[0]])
    return -turned if turned @ reference < 0 else turned
