"""A task suite of one's own: an arm of two links reaches a point in the plane.

docs/howto/simulator_task.md walks through it.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.errors import TaskError, listed
from lram_sim.suite import Array, StepResult, check_seed, package_versions
from lram_sim.topics import JOINT_STATE, JOINT_STATES, POINT, SensorField, SensorTopic

MODEL = """
<mujoco>
  <option timestep="0.005" gravity="0 0 0" integrator="implicitfast"/>
  <worldbody>
    <camera name="above" pos="0 0 1.5"/>
    <light pos="0 0 2"/>
    <body name="upper">
      <joint name="shoulder" axis="0 0 1" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02"/>
      <body name="lower" pos="0.3 0 0">
        <joint name="elbow" axis="0 0 1" damping="0.1"/>
        <geom type="capsule" fromto="0 0 0 0.25 0 0" size="0.015"/>
        <site name="tip" pos="0.25 0 0"/>
      </body>
    </body>
    <body name="goal" mocap="true">
      <geom type="sphere" size="0.02" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <velocity joint="shoulder" kv="2"/>
    <velocity joint="elbow" kv="2"/>
  </actuator>
</mujoco>
"""
JOINTS = ("shoulder", "elbow")
LINKS = (0.3, 0.25)  # m
SUBSTEPS = 10
CONTROL_RATE = 20.0  # Hz: a tick is SUBSTEPS steps of 5 ms
MAX_STEPS = 100
NEAR = 0.02  # m from the goal that count as success

OBSERVATION = (
    ObservationField("joint_position", 2, "rad"),
    ObservationField("joint_velocity", 2, "rad/s"),
    ObservationField("goal_position", 3, "m"),
)
# Actions have to be within -1 … 1; here that is a speed.
ACTION = tuple(ActionField(name, "rad/s", "joint_velocity", -1.0, 1.0) for name in JOINTS)


class Reach:
    """Bring the tip to the goal; see :class:`lram_sim.suite.Task`."""

    name = "reach"
    observation_fields = OBSERVATION
    action_fields = ACTION
    control_rate = CONTROL_RATE
    max_episode_steps = MAX_STEPS

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_string(MODEL)
        self.data = mujoco.MjData(self.model)
        self._steps = MAX_STEPS  # no episode is running

    def reset(self, seed: int) -> Array:
        # All that differs between episodes comes from this generator, and nothing is left over
        # from the episode before: the same seed gives the same episode bit for bit.
        rng = np.random.default_rng(check_seed(seed))
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = rng.uniform((-1.0, 0.5), (1.0, 1.5))
        distance, angle = rng.uniform(0.25, 0.5), rng.uniform(-2.0, 2.0)
        self.data.mocap_pos[0] = (distance * np.cos(angle), distance * np.sin(angle), 0.0)
        mujoco.mj_forward(self.model, self.data)
        self._steps = 0
        return self._observation()

    def step(self, action: npt.ArrayLike) -> StepResult:
        command = np.asarray(action, dtype=np.float64)
        if command.shape != (2,) or not np.isfinite(command).all():
            raise TaskError(f"task 'reach': expected 2 finite action values, got {command}")
        if self._steps >= MAX_STEPS:
            raise TaskError("task 'reach': no episode is running; reset it first")
        self.data.ctrl[:] = np.clip(command, -1.0, 1.0)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)
        mujoco.mj_forward(self.model, self.data)  # sensors of the state that was reached
        self._steps += 1
        distance = float(np.linalg.norm(self.data.site("tip").xpos - self.data.mocap_pos[0]))
        return StepResult(
            observation=self._observation(),
            reward=1.0 - np.tanh(5.0 * distance),
            success=distance < NEAR,
            truncated=self._steps >= MAX_STEPS,
        )

    def sensors(self) -> dict[str, Array]:
        return {
            "joint_position": self.data.qpos.copy(),
            "joint_velocity": self.data.qvel.copy(),
            "goal_position": self.data.mocap_pos[0].copy(),
        }

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        return JOINTS, self.data.qpos.copy(), self.data.qvel.copy()

    def frames(self) -> dict[str, tuple[Array, Array]]:
        tip = self.data.site("tip").xpos.copy()
        return {"tip": (tip, np.array((0.0, 0.0, 0.0, 1.0)))}

    def expert(self) -> ReachExpert:
        return ReachExpert()

    def close(self) -> None:
        """Nothing to free."""

    def _observation(self) -> Array:
        return np.concatenate(list(self.sensors().values()))


class ReachExpert:
    """Inverse kinematics with the elbow to one side, and a proportional controller."""

    def act(self, observation: Array) -> Array:
        x, y = observation[4:6]
        first, second = LINKS
        cosine = (x * x + y * y - first**2 - second**2) / (2 * first * second)
        elbow = np.arccos(np.clip(cosine, -1.0, 1.0))
        shoulder = np.arctan2(y, x) - np.arctan2(
            second * np.sin(elbow), first + second * np.cos(elbow)
        )
        error = np.array((shoulder, elbow)) - observation[:2]
        return np.clip(4.0 * error, -1.0, 1.0)


class TwoLinkSuite:
    """The suite; see :class:`lram_sim.suite.Suite`."""

    name = "two-link"  # that of the entry point
    robot, gripper, controller = "two-link", "none", ""
    control_rate = CONTROL_RATE
    max_episode_steps = MAX_STEPS
    observation_fields = OBSERVATION
    action_fields = ACTION
    reward = RewardSpec(
        "1 - tanh(5 d), d being the distance from tip to goal in m after the tick",
        scale=10.0,
        ceiling=1.0,
        horizon=MAX_STEPS,
    )
    topics = (
        SensorTopic(
            JOINT_STATES,
            JOINT_STATE,
            (
                SensorField("joint_position", "position", JOINTS),
                SensorField("joint_velocity", "velocity", JOINTS),
            ),
        ),
        SensorTopic("goal", POINT, (SensorField("goal_position", "point"),)),
    )
    camera = "above"
    drive = None

    @property
    def splits(self) -> dict[str, list[str]]:
        return {"all": self.tasks()}

    def tasks(self) -> list[str]:
        return ["reach"]

    def make(self, task: str) -> Reach:
        if task not in self.tasks():
            raise TaskError(
                f"unknown task '{task}' of suite '{self.name}'; available: {listed(self.tasks())}"
            )
        return Reach()

    def robot_description(self) -> str:
        return ""

    def versions(self) -> dict[str, str]:
        return package_versions("two-link-suite", "mujoco", "numpy")
