"""The interface every task suite offers, and the registry that finds a suite by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.data.schema import DatasetSchema
from lram_core.errors import TaskError, listed
from lram_sim.composuite_names import suite_names as composuite_names
from lram_sim.drawing import import_mujoco
from lram_sim.mimicgen_names import suite_names as mimicgen_names
from lram_sim.robosuite_names import suite_names as robosuite_names
from lram_sim.robosuite_names import wiper_names
from lram_sim.suite_families import unknown
from lram_sim.topics import SensorTopic, check_topics

if TYPE_CHECKING:
    from lram_sim.drive import Drive

Array = npt.NDArray[np.float64]

EVALUATION_SEED = 1_000_000_000
"""First seed of evaluation; demonstrations use the seeds below it."""

_SUITES = {
    "metaworld": "lram_sim.metaworld:MetaworldSuite",
    "dmcontrol": "lram_sim.dmcontrol:UnionSuite",
    **{
        f"dmcontrol-{domain.replace('_', '-')}": f"lram_sim.dmcontrol:RobotSuite:{domain}"
        for domain in (
            *("walker", "cheetah", "cartpole", "finger", "reacher", "point_mass"),
            *("ball_in_cup", "hopper", "fish", "pendulum"),
        )
    },
    "darkroom": "lram_sim.darkroom_suite:DarkRoomSuite",
    **{name: f"lram_sim.robosuite_suite:RobosuiteSuite:{name}" for name in robosuite_names()},
    **{name: f"lram_sim.robosuite_wipe:WipeSuite:{name}" for name in wiper_names()},
    **{name: f"lram_sim.composuite_suite:ComposuiteSuite:{name}" for name in composuite_names()},
    **{name: f"lram_sim.mimicgen_suite:MimicgenSuite:{name}" for name in mimicgen_names()},
}
"""Name → module and class, and what the class is called with."""
_STANDARD_SPLITS = {
    "train": ("train", "ml45-train"),
    "heldout": ("heldout", "test", "ml45-test"),
}
"""What is learnt from and what never is → the names that suites have for it."""
PLUGINS = "lram_sim.suites"
"""Group of entry points by which other packages offer suites: name → class, called with nothing."""


@dataclass(frozen=True)
class StepResult:
    """What one control tick led to.

    Attributes:
        observation: float64 (observation_size,), after the tick.
        reward: the suite's own reward of the executed action.
        success: the task's success flag at this tick (a task may lose it again).
        truncated: the episode cannot go on (the step limit, or ``failure``); only ``reset`` may
            follow.
        failure: what broke the simulation, in one line; empty while it is sound.
    """

    observation: Array
    reward: float
    success: bool
    truncated: bool
    failure: str = ""


class Expert(Protocol):
    """A scripted policy with privileged knowledge of its task; a new object an episode."""

    def act(self, observation: Array) -> Array:
        """Return the action for one observation, float64 (action_size,), within the limits."""
        ...


class Task(Protocol):
    """One task of a suite: a robot, its surroundings and a goal.

    The same (task, seed, actions) give the same episode bit for bit, whatever ran before.
    """

    @property
    def name(self) -> str: ...

    @property
    def observation_fields(self) -> tuple[ObservationField, ...]: ...

    @property
    def action_fields(self) -> tuple[ActionField, ...]: ...

    @property
    def control_rate(self) -> float:
        """Control ticks a second of simulated time (Hz)."""
        ...

    @property
    def max_episode_steps(self) -> int: ...

    @property
    def model(self) -> Any:
        """The simulator's model (``mujoco.MjModel``), for rendering."""
        ...

    @property
    def data(self) -> Any:
        """The simulator's state (``mujoco.MjData``), for rendering."""
        ...

    def reset(self, seed: int) -> Array:
        """Start the episode of ``seed`` and return its first observation.

        Raises:
            TaskError: the seed is negative.
        """
        ...

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance one control tick. Actions beyond the limits are clipped.

        Raises:
            TaskError: the action has another size or a value that is not finite, or the episode
                has ended.
        """
        ...

    def sensors(self) -> dict[str, Array]:
        """Return the current reading of every sensor, exactly the numbers in the observation."""
        ...

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return joint names, positions (rad, m) and velocities (rad/s, m/s): arm, then hand."""
        ...

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return frame → position (3,) in m and orientation (x, y, z, w) in the world, for TF."""
        ...

    def expert(self) -> Expert:
        """Return a new expert for one episode. Raises TaskError where there is none."""
        ...

    def close(self) -> None: ...


class Suite(Protocol):
    """A family of tasks on one embodiment: one robot, hand, controller, observation, action.

    Attributes:
        controller: what turns actions into torques, with the gains that matter; empty where the
            suite has only one way.
        topics: where the bridge publishes each sensor; checked by :func:`check_topics`.
        camera: the camera that shows the scene best; empty: the model's first.
        drive: how commands of joint and gripper controllers become actions; None where they cannot.
    """

    name: str
    robot: str
    gripper: str
    controller: str
    control_rate: float
    max_episode_steps: int
    observation_fields: tuple[ObservationField, ...]
    action_fields: tuple[ActionField, ...]
    reward: RewardSpec
    topics: tuple[SensorTopic, ...]
    camera: str
    drive: Drive | None

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """Named lists of tasks, e.g. ``ml45-train``."""
        ...

    def tasks(self) -> list[str]: ...

    def make(self, task: str) -> Task:
        """Build a task. Raises TaskError listing the tasks there are."""
        ...

    def robot_description(self) -> str:
        """Return the robot's URDF, whose joints are those of ``joint_state``; empty: there is none.

        Mesh files are named by absolute ``file://`` addresses.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the packages that determine an episode's numbers."""
        ...


def suite_names() -> list[str]:
    """Return the names :func:`get_suite` knows: the suites here, and those of other packages."""
    return sorted({*_SUITES, *_plugins()})


def get_suite(name: str) -> Suite:
    """Return the suite called ``name``.

    Raises:
        TaskError: there is none of that name (the message names the nearest, and lists those there
            are), or a module that it needs is not installed, or another package offers it and it
            cannot be built.
    """
    with suppress(ModuleNotFoundError):  # a suite may do without
        import_mujoco()
    try:
        if name in _SUITES:
            module, attribute, *arguments = _SUITES[name].split(":")
            suite: Suite = getattr(importlib.import_module(module), attribute)(*arguments)
            return suite
        plugin = _plugins().get(name)
        if plugin is not None:
            return _from_plugin(plugin)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("lram_"):
            raise
        raise TaskError(
            f"suite '{name}' needs the Python module '{error.name}', which is not installed"
        ) from None
    raise TaskError(unknown(name, suite_names()))


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=PLUGINS)}


def _from_plugin(point: EntryPoint) -> Suite:
    """Build a suite of another package, and check what the bridge would trip over later."""
    package = point.dist.name if point.dist else "?"
    try:
        suite: Suite = point.load()()
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise TaskError(
            f"suite '{point.name}' of package '{package}' ({point.value}) cannot be built: "
            f"{type(error).__name__}: {error}"
        ) from error
    if suite.name != point.name:
        raise TaskError(
            f"package '{package}' offers the suite '{suite.name}' under the name '{point.name}'; "
            "the two must be the same"
        )
    check_topics(suite.name, suite.topics, suite.observation_fields)
    return suite


def split_name(suite: Suite, wanted: str) -> str:
    """Return what the suite calls a split: ``train`` and ``heldout`` of any, or one of its own.

    Raises:
        TaskError: it has none of that name; lists those there are.
    """
    for name in _STANDARD_SPLITS.get(wanted, (wanted,)):
        if name in suite.splits:
            return name
    raise TaskError(
        f"suite '{suite.name}' has no split '{wanted}'; available: {listed(suite.splits)}"
    )


def resolve_tasks(suite: Suite, spec: str) -> list[str]:
    """Turn a comma-separated list of tasks and splits into task names, each once, in order.

    Raises:
        TaskError: a name is neither a task nor a split, or the list is empty.
    """
    known = suite.tasks()
    chosen: dict[str, None] = {}
    for item in (part.strip() for part in spec.split(",")):
        if not item:
            continue
        if item in suite.splits:
            chosen.update(dict.fromkeys(suite.splits[item]))
        elif item in known:
            chosen[item] = None
        else:
            raise TaskError(
                f"unknown task '{item}' of suite '{suite.name}'; "
                f"splits: {listed(suite.splits)}; tasks: {listed(known)}"
            )
    if not chosen:
        raise TaskError(f"no task given; splits of suite '{suite.name}': {listed(suite.splits)}")
    return list(chosen)


def dataset_schema(suite: Suite) -> DatasetSchema:
    """Return what a dataset of the suite's demonstrations holds."""
    return DatasetSchema(
        suite=suite.name,
        robot=suite.robot,
        gripper=suite.gripper,
        controller=suite.controller,
        control_rate=suite.control_rate,
        observation=suite.observation_fields,
        action=suite.action_fields,
        reward=suite.reward,
        max_episode_steps=suite.max_episode_steps,
    )


def reference_returns(suite: Suite) -> Mapping[str, float]:
    """Return task → return that counts as 1, of a suite that is measured by its returns.

    It is the suite's optional attribute of that name. Without one, or with an empty one, what
    counts is the tasks' success flag.
    """
    found: Mapping[str, float] = getattr(suite, "reference_returns", {})
    return found


def demonstration_return(task: Task) -> float | None:
    """Return from which return on an episode counts as a success in a demonstration.

    It is the task's optional attribute of that name; None where the task has a success flag.
    """
    found: float | None = getattr(task, "demonstration_return", None)
    return found


def check_experts(suite: Suite, tasks: Sequence[str]) -> None:
    """Raises TaskError if a task has no expert, or none that :func:`check_claimed` lets pass.

    Those that have one are the suite's optional attribute ``claimed``; without it, all.
    """
    claimed: Sequence[str] | None = getattr(suite, "claimed", None)
    for task in tasks if claimed is not None else ():
        check_claimed(task, suite.name, claimed or ())


def check_claimed(task: str, suite: str, claimed: Sequence[str]) -> None:
    """Raises TaskError if a task's expert was not measured to succeed; lists those that were."""
    if task not in claimed:
        raise TaskError(
            f"task '{task}' of suite '{suite}' has no expert that was measured to succeed "
            f"reliably; tasks with one: {listed(claimed)}"
        )


def package_versions(*packages: str) -> dict[str, str]:
    """Return package → version, ``unknown`` for one that was copied without its metadata."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def clipped_action(task: str, action: npt.ArrayLike, size: int) -> Array:
    """Return an action, float64 (size,), clipped to [-1, 1].

    Raises:
        TaskError: it has another size or a value that is not finite.
    """
    command = np.asarray(action, dtype=np.float64)
    if command.shape != (size,) or not np.isfinite(command).all():
        raise TaskError(f"task '{task}': expected {size} finite action values, got {command}")
    return np.clip(command, -1.0, 1.0)


def check_seed(seed: int) -> int:
    """Return ``seed``. Raises TaskError unless it fits 0 … 2^63 - 1."""
    if not 0 <= seed < 2**63:
        raise TaskError(f"seed {seed} is out of range; expected 0 … 2^63 - 1")
    return seed
