"""Kinematics of a robosuite arm as a small MJCF of its own, for inverse kinematics on a robot.

python -m lram_sim.arm_model robosuite-panda > config/models/robosuite_panda.xml

A policy node that commands joints with a bundle of hand moves needs the arm's joints and the place
of its tool, and no simulator: neither meshes nor scene.
"""

from __future__ import annotations

import sys
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_core.errors import CommandError, LramError
from lram_sim.poses import inverse, joined
from lram_sim.robosuite_scene import Scene
from lram_sim.suite_registry import get_suite

Array = npt.NDArray[np.float64]

TOOL = "tool"
"""Site whose pose is ``ee_position`` and ``ee_orientation``, and which ``ee_d…`` move."""
_BASE = "robot0_right_center"  # along its axes OSC moves the hand
_DIGITS = 9

_HEAD = """\
<!-- Kinematics of {robot} with {gripper}: joints and tool as in robosuite {version}, for inverse
     kinematics. The world is the base along whose axes the hand's deltas are; masses mean nothing.
     Written by: python -m lram_sim.arm_model {suite} -->
<mujoco model="{robot}">
  <compiler angle="radian"/>
  <worldbody>
"""
_TAIL = """\
  </worldbody>
</mujoco>
"""


def arm_model(suite_name: str) -> str:
    """Return the MJCF text: a body a joint, named as on the wire, and the site ``tool``.

    Args:
        suite_name: a suite of a robosuite arm; its controller makes no difference.

    Raises:
        LramError: there is no such suite, or it is not of a robosuite arm.
    """
    suite: Any = get_suite(suite_name)
    task: Any = suite.make(suite.tasks()[0])
    try:
        if not isinstance(getattr(task, "scene", None), Scene):
            raise CommandError(
                f"suite '{suite_name}' has no robosuite arm; expected one such as robosuite-panda"
            )
        head = _HEAD.format(
            robot=suite.robot,
            gripper=suite.gripper,
            version=suite.versions()["robosuite"],
            suite=suite_name,
        )
        return head + "".join(_bodies(task.scene, suite.arm.joints)) + _TAIL
    finally:
        task.close()


def _bodies(scene: Scene, names: tuple[str, ...]) -> list[str]:
    model, data = scene.model, mujoco.MjData(scene.model)
    data.qpos[scene.arm_qpos] = 0.0
    mujoco.mj_kinematics(model, data)
    site = model.site(_BASE).id
    last = joined(data.site_xpos[site], data.site_xmat[site].reshape(3, 3))
    lines = []
    joints = [int(model.dof_jntid[dof]) for dof in scene.dofs]
    for depth, (joint, name) in enumerate(zip(joints, names, strict=True)):
        body, pad = model.jnt_bodyid[joint], "  " * (depth + 2)
        now = joined(data.xpos[body], data.xmat[body].reshape(3, 3))
        low, high = model.jnt_range[joint]
        limited = f' range="{_text([low, high])}"' if model.jnt_limited[joint] else ""
        lines += [
            f'{pad}<body name="link_{depth + 1}"{_place(inverse(last) @ now)}>\n',
            f'{pad}  <inertial mass="1" pos="0 0 0" diaginertia="1 1 1"/>\n',
            f'{pad}  <joint name="{name}" pos="{_text(model.jnt_pos[joint])}"'
            f' axis="{_text(model.jnt_axis[joint])}"{limited}/>\n',
        ]
        last = now
    tool = joined(data.site_xpos[scene.grip_site], data.site_xmat[scene.grip_site].reshape(3, 3))
    pad = "  " * (len(joints) + 2)
    lines.append(f'{pad}<site name="{TOOL}"{_place(inverse(last) @ tool)}/>\n')
    lines += ["  " * (depth + 2) + "</body>\n" for depth in reversed(range(len(joints)))]
    return lines


def _place(pose: Array) -> str:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, pose[:3, :3].ravel())
    return f' pos="{_text(pose[:3, 3])}" quat="{_text(quaternion)}"'


def _text(values: npt.ArrayLike) -> str:
    rounded = np.round(np.asarray(values, dtype=np.float64), 12) + 0.0  # no -0
    return " ".join(f"{value:.{_DIGITS}g}" for value in rounded.tolist())


def main() -> None:
    """Write the model of the suite named on the command line to standard output."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m {__spec__.name} SUITE")
    try:
        sys.stdout.write(arm_model(sys.argv[1]))
    except LramError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
