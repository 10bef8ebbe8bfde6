"""DMControl: the paper's 16 tasks, one suite a robot, and all of them in one union layout.

``dmcontrol-walker`` and its like are robots with the fields of their own; ``dmcontrol`` gives every
task the same 204 observations and 6 actions, for training across robots. The tasks have no success
flag: what counts is the return over 1000 control ticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.errors import TaskError
from lram_sim.dmcontrol_env import PhysicsError, load_env, seeded
from lram_sim.dmcontrol_experts import EXPERTS, DMControlExpert
from lram_sim.dmcontrol_layouts import (
    EMBODIMENTS,
    MAX_EPISODE_STEPS,
    TARGET_RETURNS,
    TEST_TASKS,
    TRAIN_TASKS,
    UNION_ACTION,
    UNION_OBSERVATION,
    UNION_RATE,
    suite_name,
)
from lram_sim.suite import Array, StepResult, check_seed, clipped_action, package_versions
from lram_sim.task_choice import unknown_task
from lram_sim.topics import JOINT_STATE, JOINT_STATES, SensorField, SensorTopic

REWARD = RewardSpec(
    definition="DMControl's reward of the executed action, 0 to 1 a control tick.", scale=100.0
)
KEPT_SHARE = 0.5
"""Share of the target return from which on an episode is kept as a demonstration."""


class DMControlTask:
    """One task of DMControl; see :class:`lram_sim.suite.Task`.

    Observations are float64, the sensors joined in the order of the fields. Where the layout has
    more than the task gives (a key of another task, a longer one), there are zeros; where it has
    more actions than the robot has actuators, the last ones do nothing.
    """

    max_episode_steps = MAX_EPISODE_STEPS

    def __init__(
        self,
        domain: str,
        task: str,
        name: str,
        observation_fields: tuple[ObservationField, ...],
        action_fields: tuple[ActionField, ...],
    ) -> None:
        self.name = name
        self.observation_fields = observation_fields
        self.action_fields = action_fields
        self.control_rate = EMBODIMENTS[domain].control_rate
        self.demonstration_return = KEPT_SHARE * TARGET_RETURNS[f"{domain}-{task}"]
        self._robot, self._task = domain, task
        self._env: Any = load_env(domain, task)
        self._readings: dict[str, Array] | None = None
        self._steps = 0
        model = self.model
        scalar = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
        joints = [i for i in range(model.njnt) if model.jnt_type[i] in scalar]
        self._joint_names = tuple(model.joint(i).name for i in joints)
        self._qpos = model.jnt_qposadr[joints]
        self._qvel = model.jnt_dofadr[joints]

    @property
    def model(self) -> Any:
        return self._env.physics.model.ptr

    @property
    def data(self) -> Any:
        return self._env.physics.data.ptr

    def reset(self, seed: int) -> Array:
        """Start the episode of ``seed``; returns the observation."""
        self._env.task._random = seeded(check_seed(seed))
        self._readings = self._read(self._env.reset().observation)
        self._steps = 0
        return self._observation()

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance one control tick with as many actions as the layout has, clipped to [-1, 1]."""
        command = clipped_action(self.name, action, len(self.action_fields))
        if self._readings is None or self._steps >= MAX_EPISODE_STEPS:
            raise TaskError(f"task '{self.name}': no episode is running; reset it first")
        try:
            result = self._env.step(command[: self.model.nu])
        except PhysicsError as error:
            # The sensors keep what they last read, which was sound.
            self._steps = MAX_EPISODE_STEPS
            failure = f"the simulation became unstable: {error}"
            return StepResult(self._observation(), 0.0, False, True, failure)
        self._steps += 1
        self._readings = self._read(result.observation)
        return StepResult(self._observation(), float(result.reward), False, bool(result.last()))

    def sensors(self) -> dict[str, Array]:
        """Return sensor name → reading, float64, the very numbers of the last observation."""
        if self._readings is None:
            raise TaskError(f"task '{self.name}': no sensor readings before the first reset")
        return {name: values.copy() for name, values in self._readings.items()}

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions (rad, m) and velocities of hinges and slides, in model order."""
        data = self.data
        return self._joint_names, data.qpos[self._qpos].copy(), data.qvel[self._qvel].copy()

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return the robot's bodies: position (3,) in m, orientation (x, y, z, w)."""
        model, data = self.model, self.data
        return {
            model.body(i).name: (data.xpos[i].copy(), data.xquat[i, [1, 2, 3, 0]])
            for i in range(1, model.nbody)
        }

    def expert(self) -> DMControlExpert:
        """Return a new expert for one episode. Raises TaskError where there is none."""
        return DMControlExpert(
            f"{self._robot}-{self._task}", self.observation_fields, len(self.action_fields)
        )

    def close(self) -> None:
        """Free the simulation; the task cannot be used afterwards."""
        self._env.close()

    def _read(self, observation: Mapping[str, Any]) -> dict[str, Array]:
        readings = {}
        for field in self.observation_fields:
            values = np.zeros(field.size)
            if field.name in observation:
                given = np.ravel(np.asarray(observation[field.name], dtype=np.float64))
                values[: given.size] = given
            readings[field.name] = values
        return readings

    def _observation(self) -> Array:
        assert self._readings is not None
        return np.concatenate(list(self._readings.values()))


def _numbered(field: ObservationField) -> tuple[str, ...]:
    return tuple(f"{field.name}_{number}" for number in range(field.size))


class _DMControl:
    """What all suites of DMControl share."""

    gripper = "none"
    controller = ""
    drive = None
    max_episode_steps = MAX_EPISODE_STEPS
    reward = REWARD
    name: str
    observation_fields: tuple[ObservationField, ...]
    action_fields: tuple[ActionField, ...]

    @cached_property
    def topics(self) -> tuple[SensorTopic, ...]:
        """A topic a key, its values numbered like joints, and the joints themselves."""
        return (
            *(
                SensorTopic(
                    field.name,
                    JOINT_STATE,
                    (SensorField(field.name, "position", _numbered(field)),),
                )
                for field in self.observation_fields
            ),
            SensorTopic(JOINT_STATES, JOINT_STATE, ()),
        )

    def _paths(self) -> dict[str, tuple[str, str]]:
        """Task of this suite → domain and task of DMControl."""
        raise NotImplementedError

    @cached_property
    def reference_returns(self) -> dict[str, float]:
        """Task → the paper's target return, which counts as a normalised return of 1."""
        return {name: TARGET_RETURNS["-".join(path)] for name, path in self._paths().items()}

    @cached_property
    def claimed(self) -> tuple[str, ...]:
        """The tasks with an expert."""
        return tuple(name for name, path in self._paths().items() if "-".join(path) in EXPERTS)

    @cached_property
    def splits(self) -> Mapping[str, list[str]]:
        """The paper's training and held-out tasks, and those with an expert."""
        whole = {name: "-".join(path) for name, path in self._paths().items()}
        groups = {
            "all": TARGET_RETURNS,
            "train": TRAIN_TASKS,
            "test": TEST_TASKS,
            "experts": EXPERTS,
        }
        found = {
            split: [name for name, full in whole.items() if full in group]
            for split, group in groups.items()
        }
        return {split: tasks for split, tasks in found.items() if tasks}

    def tasks(self) -> list[str]:
        return list(self._paths())

    def make(self, task: str) -> DMControlTask:
        if task not in self._paths():
            raise unknown_task(task, self.name, self.tasks(), self.splits)
        return DMControlTask(
            *self._paths()[task], task, self.observation_fields, self.action_fields
        )

    def robot_description(self) -> str:
        """There is none: these robots are not built."""
        return ""

    def versions(self) -> dict[str, str]:
        return package_versions("dm-control", "mujoco", "numpy")


class RobotSuite(_DMControl):
    """The tasks on one robot of DMControl; see :class:`lram_sim.suite.Suite`."""

    def __init__(self, domain: str) -> None:
        embodiment = EMBODIMENTS[domain]
        self._embodiment = embodiment
        self.name = suite_name(domain)
        self.robot = domain
        self.control_rate = embodiment.control_rate
        self.observation_fields = embodiment.observation
        self.action_fields = embodiment.action
        self.camera = embodiment.camera

    def _paths(self) -> dict[str, tuple[str, str]]:
        return {task: (self._embodiment.domain, task) for task in self._embodiment.tasks}


class UnionSuite(_DMControl):
    """All 16 tasks of the paper in one layout; see :class:`lram_sim.suite.Suite`.

    Tasks are called ``cartpole-swingup`` and so on. The control rate is nominal; each task has
    its own.
    """

    name = "dmcontrol"
    robot = "dmcontrol"
    control_rate = UNION_RATE
    camera = ""
    observation_fields = UNION_OBSERVATION
    action_fields = UNION_ACTION

    def _paths(self) -> dict[str, tuple[str, str]]:
        return {
            name: (domain, task) for name in TARGET_RETURNS for domain, task in [name.split("-")]
        }
