"""robosuite's environments, one a robot and controller: built quietly, reset repeatably."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from lram_sim.drawing import NOTHING, drawing_by
from lram_sim.robosuite_names import WIPE

CONTROL_RATE = 20.0
MAX_EPISODE_STEPS = 500

ENVIRONMENTS = {
    "lift": "Lift",
    "stack": "Stack",
    "pick-place-can": "PickPlaceCan",
    "pick-place-milk": "PickPlaceMilk",
    "pick-place-bread": "PickPlaceBread",
    "pick-place-cereal": "PickPlaceCereal",
    "nut-assembly-square": "NutAssemblySquare",
    "nut-assembly-round": "NutAssemblyRound",
    "door": "Door",
}
"""Task → robosuite's environment."""


@dataclass(frozen=True)
class Gripper:
    """A hand: robosuite's class, its name in contracts, its leading joint.

    Attributes:
        model: robosuite's name.
        name: name in contracts.
        joint: the joint whose position tells how far it is open, without robosuite's prefix.
        span: positions (m or rad) of that joint, closed and open.
        width: what fits between the open fingers, m.
        depth: how far below the pads' middle the grip site is, m.
    """

    model: str
    name: str
    joint: str
    span: tuple[float, float]
    width: float
    depth: float


@dataclass(frozen=True)
class Arm:
    """An arm: robosuite's name of it, the names of its joints and its base frame on the wire."""

    model: str
    joints: tuple[str, ...]
    gripper: Gripper
    base: str


_PANDA_HAND = Gripper("PandaGripper", "panda_hand", "finger_joint1", (0.0, 0.04), 0.078, 0.0)
RETHINK = Gripper("RethinkGripper", "rethink", "l_finger_joint", (-0.0118, 0.0115), 0.046, 0.004)
WIPER = Gripper("WipingGripper", "wiping", "", (0.0, 0.0), 0.0, 0.0)
"""A block of 12 cm by 5 cm without joints."""
_ROBOTIQ = Gripper("Robotiq85Gripper", "robotiq85", "finger_joint", (0.515, -0.027), 0.085, 0.008)

ARMS = {
    "panda": Arm(
        "Panda", tuple(f"panda_joint{i}" for i in range(1, 8)), _PANDA_HAND, "panda_link0"
    ),
    "sawyer": Arm("Sawyer", tuple(f"right_j{i}" for i in range(7)), RETHINK, "base"),
    "iiwa": Arm("IIWA", tuple(f"joint_{i}" for i in range(1, 8)), _ROBOTIQ, "link_0"),
    "ur5e": Arm(
        "UR5e",
        (
            "shoulder_pan_joint",
            "shoulder_lift_joint",
            "elbow_joint",
            "wrist_1_joint",
            "wrist_2_joint",
            "wrist_3_joint",
        ),
        _ROBOTIQ,
        "base_link",
    ),
    "kinova3": Arm("Kinova3", tuple(f"joint_{i}" for i in range(1, 8)), _ROBOTIQ, "base_link"),
    "jaco": Arm("Jaco", tuple(f"j2s7s300_joint_{i}" for i in range(1, 8)), RETHINK, "root"),
}
_PARTS = {"joint": "JOINT_POSITION", "osc": "OSC_POSE"}
STIFFNESS = 150.0
"""Of both controllers. robosuite's default for joints is 50, with which a joint moves at no more
than 0.18 rad/s, a third of the hand's speed under OSC; 150 makes that 0.31."""
_MODEL_ARRAYS = ("body_pos", "body_quat", "site_rgba", "geom_rgba")


def import_robosuite() -> Any:
    """Import robosuite without its hints on private macros and extra robots."""
    logging.getLogger("robosuite_logs").addFilter(_is_error)
    with drawing_by(NOTHING):  # robosuite sets another one, for whatever comes after
        return importlib.import_module("robosuite")


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def build_env(
    task: str, arm: Arm, controller: str, stiffness: float = STIFFNESS, observed: bool = False
) -> Any:
    """Build the environment of a task that is known to exist, without a renderer.

    What a constructor draws (the size of a cube) is the same each time.

    Args:
        task: key of ENVIRONMENTS, or ``wipe`` for an arm with a wiper.
        arm: which arm and gripper.
        controller: ``joint`` or ``osc``.
        stiffness: the controller's proportional gain (1/s²); it is critically damped.
        observed: with robosuite's own observation of the objects, which the suites do not use.
    """
    robosuite = import_robosuite()
    env = robosuite.make(
        "Wipe" if task == WIPE else ENVIRONMENTS[task],
        use_object_obs=observed,
        reward_shaping=False,
        **arguments(arm, controller, stiffness),
    )
    if arm.model == "Sawyer":
        free_the_sawyers_base(env.sim.model._model)
    return env


def arguments(arm: Arm, controller: str, stiffness: float) -> dict[str, Any]:
    """Return what every environment of an arm is built with: its controller, and no renderer."""
    robosuite = import_robosuite()
    config = robosuite.load_composite_controller_config(controller="BASIC", robot=arm.model)
    part = robosuite.load_part_controller_config(default_controller=_PARTS[controller])
    config["body_parts"]["right"] = {**part, "kp": stiffness, "gripper": {"type": "GRIP"}}
    return {
        "robots": arm.model,
        "gripper_types": arm.gripper.model,
        "controller_configs": config,
        "has_renderer": False,
        "has_offscreen_renderer": False,
        "use_camera_obs": False,
        "control_freq": CONTROL_RATE,
        "horizon": MAX_EPISODE_STEPS,
        "ignore_done": True,
        "hard_reset": False,
        "renderer": "mujoco",
        "seed": 0,
    }


def free_the_sawyers_base(model: Any) -> None:
    """In 1.5.2 the first link touches its own base, and friction locks the first joint."""
    geom = model.geom("robot0_link0_collision").id
    model.geom_contype[geom] = model.geom_conaffinity[geom] = 0


class EpisodeSource:
    """Resets an environment to the episode of a seed, whatever ran before.

    robosuite's soft reset draws everything anew from the environment's generator, but leaves traces
    of the episode before: edits of the model, and a solver that starts from an earlier scene.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        model = env.sim.model._model
        self._arrays = {name: np.array(getattr(model, name)) for name in _MODEL_ARRAYS}

    def reset(self, seed: int) -> None:
        """Start the episode of ``seed``; the simulation is settled as far as kinematics go."""
        env = self.env
        model, data = env.sim.model._model, env.sim.data._data
        for name, value in self._arrays.items():
            getattr(model, name)[:] = value
        # The samplers hold the same generator, so it is set, not replaced.
        env.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
        env.reset()
        data.qacc_warmstart[:] = 0.0
        mujoco.mj_forward(model, data)
