"""Source demonstrations cut into segments, each of them relative to one object.

A dataset keeps observations and actions. What segments need beside them, the poses of hand and
objects and the ends of the subtasks, is read from the simulation while an episode's seed and
actions are replayed; that the replay is the recorded episode is checked tick by tick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from lram_core.data.schema import Episode, schema_differences
from lram_core.data.store import Dataset
from lram_core.errors import DataError, TaskError, listed
from lram_sim.poses import joined, matrix
from lram_sim.robosuite_motion import Mover
from lram_sim.robosuite_target import hand
from lram_sim.subtasks import Decomposed, Subtask
from lram_sim.suite import Suite, Task, dataset_schema
from lram_sim.suite_families import told
from lram_sim.suite_registry import get_suite, suite_names
from lram_sim.workers import Abandoned

Array = npt.NDArray[np.float64]

AGREES = 0.02
"""How far (in each value's unit) a replayed observation may be from the recorded one. Velocities
are left out: in a contact they jump. A dataset of ``lram collect`` agrees to the last bit; where
actions went through a robot's units and back, as in a bag, they are off by some 4e-7, of which
contacts made 0.009 in the opening of a hand that held a nut."""


class Segmented(Task, Decomposed, Protocol):
    """A task that can be generated for: its subtasks are declared, and its hand can be sent."""

    scene: Any
    mode: str


@dataclass(frozen=True)
class Segment:
    """The part of a demonstration that is one subtask, T control ticks; poses in the world.

    Attributes:
        object: (4, 4) pose of the subtask's object at its beginning.
        hands: (T + 1, 4, 4) poses of the grip site: before each action, and after the last.
        goals: (T, 4, 4) where each action sent the grip site.
        grips: (T,) actions of the gripper.
    """

    object: Array
    hands: Array
    goals: Array
    grips: Array


@dataclass(frozen=True)
class Demonstration:
    """A source episode: its number in the dataset, and a segment a subtask."""

    number: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Library:
    """The source demonstrations for one task.

    Attributes:
        dataset: name of the dataset they are from.
        task: the task they are of.
        demonstrations: at least one.
        left_out: number of the task's episodes that cannot be replayed: perturbed or failed ones.
    """

    dataset: str
    task: str
    demonstrations: tuple[Demonstration, ...]
    left_out: int


def source_suite(dataset: Dataset, suite: Suite) -> Suite:
    """Return the suite of the source demonstrations, which has the robot of ``suite``.

    The controller may be another: segments are poses of the hand.

    Raises:
        DataError: the dataset is of no suite, or has not all of its fields, or another robot.
    """
    schema, where = dataset.schema, dataset.path
    if schema.suite not in suite_names():
        raise DataError(
            f"{where}: made in '{schema.suite}', which is none of the simulated suites "
            f"({told(suite_names())}); demonstrations are replayed there"
        )
    sides = {
        "robot": (schema.robot, suite.robot),
        "gripper": (schema.gripper, suite.gripper),
        "control rate": (f"{schema.control_rate:g} Hz", f"{suite.control_rate:g} Hz"),
    }
    different = [
        f"{what} {found} instead of {expected}"
        for what, (found, expected) in sides.items()
        if found != expected
    ]
    if different:
        raise DataError(
            f"{where}: demonstrations of suite '{schema.suite}' do not fit suite "
            f"'{suite.name}': {listed(different)}"
        )
    source = get_suite(schema.suite)
    if missing := schema_differences(schema, dataset_schema(source)):
        raise DataError(
            f"{where}: not the fields of suite '{source.name}', so its episodes cannot be "
            f"compared with their replay: {listed(missing)}"
        )
    return source


def source_task(dataset: Dataset, task: str) -> str:
    """Return the task whose demonstrations serve ``task``: the same, else one of its variants.

    Variants of a task differ in where objects lie; their names end in ``-d0``, ``-d1``, …

    Raises:
        DataError: there is none; lists the tasks there are.
    """
    names = dataset.task_names
    if task in names:
        return task
    for name in names:
        if _stem(name) == _stem(task):
            return name
    raise DataError(
        f"{dataset.path}: no demonstrations of task '{task}'; there are some of {listed(names)}"
    )


def _stem(task: str) -> str:
    stem, _, variant = task.rpartition("-d")
    return stem if stem and variant.isdigit() else task


def segmented(task: Task, suite: str) -> Segmented:
    """Return a task whose subtasks are declared. Raises TaskError for another one."""
    if not isinstance(task, Decomposed) or not hasattr(task, "scene"):
        raise TaskError(
            f"task '{task.name}' of suite '{suite}' has no subtasks, so its demonstrations cannot "
            "be cut into segments; those of the suites robosuite-… can"
        )
    return cast(Segmented, task)


def read_library(
    dataset: Dataset, task: Segmented, stopping: Callable[[], bool] = lambda: False
) -> Library:
    """Replay the demonstrations of a task and cut them.

    Args:
        dataset: the source demonstrations.
        task: the task they are of, in the suite they are of.
        stopping: asked before each episode.

    Raises:
        Abandoned: ``stopping`` said yes.
        DataError: no episode can be replayed, or one is not what its replay gives.
    """
    rows = [row for row, name in enumerate(dataset.column("task")) if name == task.name]
    found = []
    for row in rows:
        episode = dataset.episode(row)
        if episode.success and episode.noise == 0:
            if stopping():
                raise Abandoned
            found.append(Demonstration(row, cut(task, episode, f"{dataset.path}: episode {row}")))
    if not found:
        raise DataError(
            f"{dataset.path}: none of the {len(rows)} episodes of '{task.name}' can be replayed: "
            "what was executed is known of undisturbed successes only; collect with --noise 0"
        )
    return Library(dataset.path.name, task.name, tuple(found), len(rows) - len(found))


def cut(task: Segmented, episode: Episode, where: str = "") -> tuple[Segment, ...]:
    """Replay an episode and return its segments, one a subtask.

    Raises:
        DataError: the replay is not the episode, or a subtask does not end in it.
    """
    where = f"{where or episode.where} ({episode.task}, seed {episode.seed})"
    compared = np.concatenate(
        [np.full(f.size, not f.unit.endswith("/s")) for f in task.observation_fields]
    )
    ends = _Ends(task.subtasks)
    observation = task.reset(episode.seed)
    mover = Mover(task.scene, task.mode)
    objects, hands, goals = [task.object_poses()], [joined(*hand(task.scene))], []
    success = False
    for tick, action in enumerate(episode.actions.astype(np.float64)):
        apart = np.abs(observation - episode.observations[tick]) * compared
        if apart.max() > AGREES:
            raise DataError(
                f"{where}: its seed and actions do not give its observations: "
                f"{_field(task, int(apart.argmax()))} differs by {apart.max():.2g} at tick {tick}"
            )
        clipped = np.clip(action, -1.0, 1.0)
        goals.append(joined(*mover.goal(clipped)))
        result = task.step(clipped)
        observation, success = result.observation, result.success
        hands.append(joined(*hand(task.scene)))
        objects.append(task.object_poses())
        ends.look(task, tick + 1)
        if result.truncated:
            break
    if not success:
        raise DataError(f"{where}: its replay does not end in success")
    stops = ends.complete(len(goals), where)
    grips = episode.actions[:, -1].astype(np.float64)
    return tuple(
        Segment(
            object=matrix(objects[start][subtask.object]),
            hands=np.stack(hands[start : stop + 1]),
            goals=np.stack(goals[start:stop]),
            grips=grips[start:stop],
        )
        for subtask, start, stop in zip(task.subtasks, [0, *stops], stops, strict=False)
    )


class _Ends:
    """Notes at which tick each subtask ends."""

    def __init__(self, subtasks: tuple[Subtask, ...]) -> None:
        self._subtasks = subtasks
        self._stops: list[int] = []

    def look(self, task: Segmented, ticks: int) -> None:
        """Look at the signal of the subtask that is under way, after so many ticks."""
        under_way = len(self._stops)
        if under_way < len(self._subtasks) - 1 and task.signal(self._subtasks[under_way].ends):
            self._stops.append(ticks)

    def complete(self, length: int, where: str) -> list[int]:
        """Return the ends, the last one being the episode's."""
        ended = sum(stop < length for stop in self._stops)
        if ended < len(self._subtasks) - 1:
            missed = self._subtasks[ended]
            raise DataError(
                f"{where}: subtask {ended + 1} of {len(self._subtasks)}, relative to "
                f"{missed.object}, does not end before it: '{missed.ends}' is not raised"
            )
        return [*self._stops, length]


def _field(task: Task, index: int) -> str:
    """Name of the observation field that a value belongs to."""
    sizes = np.cumsum([field.size for field in task.observation_fields])
    return task.observation_fields[int(np.searchsorted(sizes, index, side="right"))].name
