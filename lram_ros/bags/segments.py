"""Uninterrupted stretches of ticks, each the start of an episode or of a part of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError
from lram_core.policy import Action
from lram_ros.adapters.feedback import find_feedback
from lram_ros.assembly import InputReader, InputSet
from lram_ros.bags.cuts import Cut
from lram_ros.bags.ticks import RecordedTick
from lram_ros.control import ControlLoop
from lram_ros.episode_state import EpisodeState
from lram_ros.message_fields import InputError
from lram_ros.robot_contract import RobotContract

Array = npt.NDArray[np.float64]
_LATE = 1.5  # periods between two sets with none missing, at most
_NUMBERS = re.compile(r"-?\d[\d.e+-]*|nan|inf")


@dataclass
class Problem:
    """Why ticks were not used: text and time (ns) of the first one, and how many there are."""

    text: str
    time: int
    count: int = 1


@dataclass(frozen=True)
class Row:
    """One tick: when it was, what the policy would have seen, and the joints of each sink.

    ``reward`` is of the command before, as the policy sees it.
    """

    time: int
    stamp: int
    observation: npt.NDArray[np.float32]
    reward: float
    measured: tuple[Array | None, ...]


@dataclass
class Segment:
    """Ticks that follow on each other.

    Attributes:
        rows: the ticks.
        task, seed: as announced; empty and None where nothing is announced.
        success: as announced, None likewise.
        last_reward: reward of the last tick's command; None where the recording does not tell.
        last_measured: joints of each sink after it, likewise.
    """

    rows: list[Row] = field(default_factory=list)
    task: str = ""
    seed: int | None = None
    success: bool | None = None
    last_reward: float | None = None
    last_measured: tuple[Array | None, ...] | None = None


class SegmentReader:
    """Runs the node's own control loop over recorded ticks, with a policy that only listens.

    Attributes:
        problems: what kept ticks from being used, each kind once.
    """

    def __init__(self, robot: RobotContract, policy: PolicyContract) -> None:
        self._robot = robot
        self._loop = ControlLoop(_Listener(policy), robot)
        self._reader = InputReader(robot, policy)
        self._feedback = [find_feedback(robot, sink) for sink in robot.sinks]
        self._open: Segment | None = None
        self._number = 0
        self.problems: dict[str, Problem] = {}

    def read(self, ticks: Iterable[RecordedTick], cuts: list[Cut] | None) -> Iterator[Segment]:
        """Yield the segments of a recording.

        Args:
            ticks: in order.
            cuts: where episodes begin and end, in the ticks' time; None where only the contract's
                episode topic, and gaps, cut.
        """
        waiting = [] if cuts is None else sorted(cuts, key=lambda cut: cut.time, reverse=True)
        recording, task = cuts is None, ""
        for tick in ticks:
            while waiting and waiting[-1].time <= tick.time:
                cut = waiting.pop()
                recording, task = cut.begins, cut.task
                yield from self._close()
            if not recording:
                continue
            if tick.inputs is None:
                self._note(tick.problem, tick.time)
                yield from self._close()
            else:
                yield from self._tick(tick.time, tick.inputs, task)
        yield from self._close()

    def _tick(self, time: int, inputs: InputSet, task: str) -> Iterator[Segment]:
        try:
            reading = self._loop.read(inputs)
        except (InputError, ContractError) as error:
            self._note(str(error), time)
            yield from self._close()
            return
        status = reading.status
        if not reading.running:
            if self._open is not None:
                self._end(status, inputs, time)
            yield from self._close()
            return
        if reading.repeated:
            return
        announced = self._robot.episode is not None
        hole = ""
        if self._open is not None and not reading.begins:
            hole = self._hole(inputs, status, announced)
        if hole:
            self._note(hole, time)
        if hole or reading.begins:
            yield from self._close()
            reading = self._loop.read(inputs)
        tick, _ = self._loop.answer(reading, perf_counter())
        self._number = tick.number
        for note in self._loop.take_notes():
            self._note(note, time)
        if self._open is None:
            self._open = Segment(task=task)
            if announced:
                self._open.task, self._open.seed = status.task or task, int(status.seed)
                self._open.success = False
        self._open.rows.append(
            Row(time, inputs.stamp, tick.observation, reading.reward, self._joints(inputs))
        )

    def _hole(self, inputs: InputSet, status: Any, announced: bool) -> str:
        """Say which sets are missing before this one; ticks of a clock are never missing."""
        assert self._open is not None
        if self._robot.tick_source == "clock":
            return ""
        if announced:
            if status.tick == self._number + 1:
                return ""
            return f"ticks {self._number + 1} to {status.tick - 1} of an episode are missing"
        step = (inputs.stamp - self._open.rows[-1].stamp) * 1e-9
        if step < _LATE / self._robot.control_rate:
            return ""
        return f"no whole set of inputs for {step:.3f} s"

    def _end(self, status: Any, inputs: InputSet, time: int) -> None:
        """An announced end carries the reward of the last command, and where it led."""
        assert self._open is not None
        self._open.success = status.state == EpisodeState.SUCCEEDED or bool(status.success)
        try:
            self._open.last_reward = self._reader.reward(inputs)
            self._open.last_measured = self._joints(inputs)
        except InputError as error:
            self._note(str(error), time)

    def _close(self) -> Iterator[Segment]:
        """Hand the open segment out; what follows starts with an empty history."""
        found, self._open = self._open, None
        if found is not None:
            self._loop.restart()
            if found.last_reward is None and isinstance(self._robot.reward, float):
                found.last_reward = self._robot.reward
            yield found

    def _joints(self, inputs: InputSet) -> tuple[Array | None, ...]:
        return tuple(
            None if feedback is None else feedback.read(inputs.messages[feedback.index])
            for feedback in self._feedback
        )

    def _note(self, text: str, time: int) -> None:
        kind = _NUMBERS.sub("#", text)
        before = self.problems.get(kind)
        if before is None:
            self.problems[kind] = Problem(text, time)
        else:
            before.count += 1


class _Listener:
    """Stands in the policy's place in the loop; its answers go nowhere."""

    return_to_go = 0.0

    def __init__(self, contract: PolicyContract) -> None:
        self.contract = contract
        size = contract.action_size
        self._answer = Action(np.zeros(size), np.zeros(size, dtype=np.int64), {})

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        """Nothing is remembered."""

    def observe_reward(self, reward: float) -> None:
        """The reward is read with the next tick."""

    def act(self, observation: npt.NDArray[np.float32], reward: float | None) -> Action:
        return self._answer
