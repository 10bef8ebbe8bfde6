"""rosbag2 recordings as a dataset, through a robot contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.data.importers.source import Imported
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.writer import DatasetWriter
from lram_core.errors import ContractError, DataError, LramError, listed
from lram_ros.bags.actions import COMMAND, SOURCES, ActionReader
from lram_ros.bags.cuts import Cut, CutSource
from lram_ros.bags.recording import Bag
from lram_ros.bags.schema import contract_of, schema_of
from lram_ros.bags.segments import Segment, SegmentReader
from lram_ros.bags.survey import Survey, full_name, survey
from lram_ros.bags.ticks import recorded_ticks
from lram_ros.contract_check import check_contract, check_types
from lram_ros.robot_contract import RobotContract

Progress = Callable[[int], None]


@dataclass(frozen=True)
class BagOptions:
    """How recordings become episodes.

    Attributes:
        like: schema that the dataset must have; None for the contract's own fields.
        suite: name of the suite, empty for the robot's; used without ``like``.
        actions: ``command`` or ``next-position``, see :class:`ActionReader`.
        cut: topic or service that cuts episodes; empty for the contract's episode topic, or gaps.
        max_gap: seconds that a reading may be older than ``max_age``: shorter gaps do not cut.
        hold: seconds that a command stays in force.
        min_ticks: shorter episodes are left out.
        task: name of the task where nothing says it.
        success: episodes were successes, where nothing says it.
        namespace: of the recorded topics whose names are relative in the contract.
        recover: take what is whole of a recording that was cut short.
        reward_scale: rewards and returns are divided by it before a model sees them; without
            ``like``.
    """

    like: DatasetSchema | None = None
    suite: str = ""
    actions: str = COMMAND
    cut: str = ""
    max_gap: float = 0.0
    hold: float = 0.25
    min_ticks: int = 2
    task: str = "recorded"
    success: bool = False
    namespace: str = ""
    recover: bool = False
    reward_scale: float = 1.0


def import_bags(
    paths: list[Path],
    robot: RobotContract,
    out: Path,
    options: BagOptions = BagOptions(),
    advance: Progress = lambda _: None,
) -> Imported:
    """Make a dataset of recordings; it appears whole or not at all.

    Every bag is looked through before the first episode is written.

    Args:
        paths: bags, in order.
        robot: the contract of the robot they were recorded on.
        out: folder of the dataset; must not exist.
        options: how.
        advance: called with the number of episodes just written.

    Raises:
        ContractError: the contract does not fit ``options.like``, or its message types.
        DataError: a bag is damaged, lacks what the contract needs, or holds no episode; names
            the file, the topic and the time.
    """
    if options.actions not in SOURCES:
        raise ContractError(f"actions '{options.actions}' are unknown; there are {listed(SOURCES)}")
    check_types(robot)
    if options.like is not None:
        check_contract(robot, contract_of(options.like))
    with ExitStack() as stack:
        bags = [stack.enter_context(Bag(path, options.recover)) for path in paths]
        looked = [_look(bag, robot, options) for bag in bags]
        schema = options.like or schema_of(
            bags[0], robot, options.suite, options.reward_scale, options.namespace
        )
        notes: list[str] = []
        with DatasetWriter(out, schema) as writer:
            for bag, (found, cutter) in zip(bags, looked, strict=True):
                bag_import = _BagImport(bag, robot, schema, found, cutter, options)
                for episode in bag_import.episodes():
                    writer.add(episode)
                    advance(1)
                notes += bag_import.notes()
            about = {
                "format": "rosbag2",
                "path": listed(paths),
                "contract": robot.source,
                "actions": options.actions,
                "cut": options.cut,
                "notes": notes,
            }
            writer.finish({"import": about}, longest=schema.max_episode_steps == 1)
    return Imported(writer.episodes, writer.steps, notes=notes)


def _look(bag: Bag, robot: RobotContract, options: BagOptions) -> tuple[Survey, CutSource | None]:
    cutter = None
    if options.cut:
        cutter = CutSource(bag, full_name(options.cut, options.namespace))
    commanded = options.actions == COMMAND
    return survey(bag, robot, options.namespace, commanded, cutter), cutter


class _BagImport:
    """The episodes of one bag."""

    def __init__(
        self,
        bag: Bag,
        robot: RobotContract,
        schema: DatasetSchema,
        found: Survey,
        cutter: CutSource | None,
        options: BagOptions,
    ) -> None:
        policy = contract_of(schema)
        self._bag, self._robot, self._found, self._options = bag, robot, found, options
        self._reader = SegmentReader(robot, policy)
        self._actions = ActionReader(robot, policy, found, options.actions, options.hold)
        self._cuts: list[Cut] | None = None
        if cutter is not None:
            times = found.ros_time([cut.time for cut in found.cuts]).tolist()
            self._cuts = [
                Cut(time, cut.begins, cut.task) for time, cut in zip(times, found.cuts, strict=True)
            ]
        self._ticks = self._short = self._unanswered = 0

    def episodes(self) -> Iterator[Episode]:
        """Yield the episodes.

        Raises:
            DataError: there is none.
        """
        ticks = recorded_ticks(self._bag, self._robot, self._found, self._options.max_gap)
        count = 0
        try:
            for segment in self._reader.read(ticks, self._cuts):
                for episode in self._of_segment(segment):
                    yield episode
                    count += 1
        except LramError as error:
            text = str(error)
            if str(self._bag.path) in text:
                raise
            raise DataError(f"{self._bag.path}: {text}") from None
        if not count:
            raise DataError(f"{self._bag.path}: no episode: {self._why_none()}")

    def notes(self) -> list[str]:
        """What was repaired or left out."""
        found = list(self._found.notes)
        if self._bag.recovered:
            found.append("it is cut short; taken as far as it is whole")
        for problem in self._reader.problems.values():
            found.append(
                f"{problem.count} ticks are no part of an episode, the first at "
                f"{self._when(problem.time)}: {problem.text}"
            )
        if self._unanswered:
            found.append(f"{self._unanswered} ticks had no action and were left out")
        if self._short:
            found.append(
                f"{self._short} episodes of fewer than {self._options.min_ticks} ticks were left "
                f"out"
            )
        return [f"{self._bag.path}: {note}" for note in found]

    def _of_segment(self, segment: Segment) -> Iterator[Episode]:
        """The stretches of a segment whose ticks all have an action and a reward."""
        self._ticks += len(segment.rows)
        actions, known = self._actions.read(segment)
        self._unanswered += int((~known).sum())
        rewards = np.array([row.reward for row in segment.rows[1:]] + [0.0])
        if segment.last_reward is None:
            known[-1] = False
        else:
            rewards[-1] = segment.last_reward
        observations = np.stack([row.observation for row in segment.rows])
        for start, stop in _runs(known):
            if stop - start < self._options.min_ticks:
                self._short += 1
                continue
            row = segment.rows[start]
            success = segment.success
            if success is not None and stop < len(segment.rows) - 1:
                success = False  # the announced end is of another stretch
            yield Episode(
                observations=observations[start:stop],
                actions=actions[start:stop].astype(np.float32),
                rewards=rewards[start:stop].astype(np.float32),
                task=segment.task or self._options.task,
                # Nothing resets a robot to a start; the time tells this episode from all others.
                seed=row.time if segment.seed is None else segment.seed,
                success=self._options.success if success is None else success,
                noise=0.0,
                source=f"{self._bag.path} at {self._seconds(row.time):.3f} s",
            )

    def _why_none(self) -> str:
        if self._reader.problems:
            first = min(self._reader.problems.values(), key=lambda problem: problem.time)
            return f"at {self._when(first.time)}: {first.text}"
        if self._options.cut and not self._cuts:
            return f"no message on {self._options.cut} cuts one out"
        if not self._ticks:
            return f"no set of inputs is whole; {self._rates()}"
        if self._unanswered:
            return f"none of {self._ticks} ticks has an action ({self._options.actions})"
        return f"{self._ticks} ticks, but none in a stretch of {self._options.min_ticks}"

    def _rates(self) -> str:
        texts = []
        for name, times in self._found.times.items():
            span = (times[-1] - times[0]) * 1e-9 if len(times) > 1 else 0.0
            texts.append(f"{name} {(len(times) - 1) / span:.3g} Hz" if span else f"{name} once")
        return listed(texts)

    def _when(self, time: int) -> str:
        if self._found.ticks_simulated:
            return f"{time * 1e-9:.3f} s of /clock"
        return self._bag.when(time)

    def _seconds(self, time: int) -> float:
        return (time if self._found.ticks_simulated else time - self._bag.start) * 1e-9


def _runs(flags: Any) -> list[tuple[int, int]]:
    """[start, stop) of each stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
