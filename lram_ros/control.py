"""One control tick: inputs in, a command within its limits out. Free of rclpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.observation import ObservationAssembler
from lram_core.policy import Action
from lram_ros.assembly import InputReader, InputSet
from lram_ros.episode_state import EpisodeState
from lram_ros.message_fields import Array
from lram_ros.robot_contract import RobotContract


class ActingPolicy(Protocol):
    """What the loop needs of :class:`lram_core.policy.Policy`."""

    contract: PolicyContract

    @property
    def return_to_go(self) -> float: ...

    def reset(self, task: str | None = None, target_return: float | None = None) -> None: ...

    def observe_reward(self, reward: float) -> None: ...

    def act(self, observation: npt.NDArray[np.float32], reward: float | None) -> Action: ...


@dataclass(frozen=True)
class Reading:
    """One set of inputs as the loop understands it; nothing has been done with it yet.

    Attributes:
        inputs: the messages.
        status: of the episode.
        running: whether an episode runs that is to be answered.
        repeated: the stamp was answered before.
        begins: an answer would begin anew: another episode, or stamps that went back.
        sensors: observation field → values; empty where nothing is to be answered.
        reward: of the command before.
    """

    inputs: InputSet
    status: Any
    running: bool
    repeated: bool = False
    begins: bool = False
    sensors: dict[str, Array] = field(default_factory=dict)
    reward: float = 0.0

    @property
    def episode(self) -> tuple[int, str, int]:
        return self.status.episode, self.status.task, self.status.seed


class CommandLimits:
    """The narrower of the bundle's and the robot's limits of each action field."""

    def __init__(self, robot: RobotContract, policy: PolicyContract) -> None:
        ours = {field.name: field for field in robot.command.fields}
        self.low = np.array([max(f.low, ours[f.name].low) for f in policy.action])
        self.high = np.array([min(f.high, ours[f.name].high) for f in policy.action])

    def apply(self, raw: npt.ArrayLike) -> tuple[Array, npt.NDArray[np.bool_]] | None:
        """Return the values to command and where they were clipped; None if not all finite."""
        values = np.asarray(raw, dtype=np.float64)
        if values.shape != self.low.shape or not np.isfinite(values).all():
            return None
        commanded = np.minimum(np.maximum(values, self.low), self.high)
        return commanded, commanded != values


@dataclass(frozen=True)
class Tick:
    """What one control tick did; ``commanded`` is None when no command may be sent.

    ``number`` is the episode's tick as announced, or counted here where a clock ticks. Times are
    in seconds, arrays float64 (action_size,) but for ``observation``, float32 (observation_size,).
    ``acted`` is when the policy had answered, by ``time.perf_counter``: what follows, the check
    against the limits first, belongs to the stage that publishes.
    """

    stamp: int
    episode: int
    number: int
    ages: tuple[float, ...]
    observation: npt.NDArray[np.float32]
    reward: float
    return_to_go: float
    raw: Array
    commanded: Array | None
    clipped: npt.NDArray[np.bool_]
    observe_s: float
    acted: float
    timings: dict[str, float]


class ControlLoop:
    """Advances the policy once a tick, and only on inputs that are whole.

    What each event does to the recurrent state: another episode (its number, task or seed) resets
    it, and so does a stamp that went back (the source was restarted); a repeated stamp and refused
    inputs leave it as it is; an ended episode holds it until the next one.

    A reward that is known as soon as its command is out, the contract's constant, is taken by
    :meth:`settle`, between the ticks. One that comes in a message is taken in the tick, with the
    set it belongs to: whether it arrived before the rest must not make a difference.
    """

    def __init__(self, policy: ActingPolicy, robot: RobotContract) -> None:
        self.policy = policy
        native = len(robot.sinks) == 1 and robot.sinks[0].adapter == "native"
        self.limits = CommandLimits(robot, policy.contract) if native else None
        self.target_return: float | None = None
        self._notes: list[str] = []
        self._reader = InputReader(robot, policy.contract)
        self._assembler = ObservationAssembler(policy.contract.observation)
        self._count_ticks = robot.tick_source == "clock" or robot.episode is None
        self._constant = robot.reward if isinstance(robot.reward, float) else None
        self._unsettled = False
        self._last: Tick | None = None
        self._episode: tuple[int, str, int] | None = None

    def tick(self, inputs: InputSet, start: float | None = None) -> tuple[Tick | None, bool]:
        """Answer one set of inputs.

        Args:
            inputs: the messages.
            start: when the tick began, by ``time.perf_counter``; now by default.

        Returns:
            (tick, fresh): ``tick`` is None when the episode does not run; ``fresh`` is False
            when the stamp was answered before and the old answer is handed out again.

        Raises:
            InputError, ContractError: the inputs are malformed or not finite. The state is left
                as it was, so a sound set of the same stamp can still be answered.
        """
        start = perf_counter() if start is None else start
        reading = self.read(inputs)
        return self.answer(reading, start) if reading.running else (None, False)

    def read(self, inputs: InputSet) -> Reading:
        """Look at a set of inputs; the state and the loop stay as they are.

        Raises:
            InputError, ContractError: the inputs are malformed or not finite.
        """
        status = self._reader.status(inputs)
        if status.state != EpisodeState.RUNNING:
            return Reading(inputs, status, running=False)
        # A restarted source counts episodes and stamps from the beginning again: its first set can
        # look like the one answered last, but for another task.
        same = self._episode == (status.episode, status.task, status.seed)
        last = self._last if same else None
        if last is not None and last.stamp == inputs.stamp:
            return Reading(inputs, status, running=True, repeated=True)
        begins = last is None or inputs.stamp < last.stamp
        sensors = self._reader.sensors(inputs)
        reward = self._reader.reward(inputs)
        return Reading(inputs, status, True, False, begins, sensors, reward)

    def answer(self, reading: Reading, start: float) -> tuple[Tick, bool]:
        """Ask the policy; ``reading`` is of a running episode. Returns as :meth:`tick`."""
        inputs, status, last = reading.inputs, reading.status, self._last
        if reading.repeated:
            assert last is not None
            return last, False
        if reading.begins:
            if last is not None and self._episode == reading.episode:
                back = (last.stamp - inputs.stamp) * 1e-9
                self._notes.append(f"stamps went back by {back:.3f} s; starting anew")
            last = None
            self._begin(status)
            self._episode = reading.episode
        if last is None:
            number = 0 if self._count_ticks else status.tick
        elif self._count_ticks:
            number = last.number + 1
        else:
            number = status.tick
            if number != last.number + 1:
                self._notes.append(f"ticks {last.number + 1} to {number - 1} were missed")
        observation = self._assembler.assemble(reading.sensors)
        self.settle()
        observed = perf_counter()
        action = self.policy.act(observation, reading.reward if self._constant is None else None)
        acted = perf_counter()
        self._unsettled = self._constant is not None
        limited = self.limits.apply(action.values) if self.limits is not None else None
        self._last = Tick(
            stamp=inputs.stamp,
            episode=status.episode,
            number=number,
            ages=inputs.ages,
            observation=observation,
            reward=reading.reward,
            return_to_go=self.policy.return_to_go,
            raw=action.values,
            commanded=limited[0] if limited else None,
            clipped=limited[1] if limited else np.zeros(len(action.values), dtype=bool),
            observe_s=observed - start,
            acted=acted,
            timings=action.timings,
        )
        return self._last, True

    def restart(self) -> None:
        """Begin anew at the next answer, with an empty state: a re-arm, a reset on request."""
        self._last = self._episode = None
        self._unsettled = False

    def settle(self) -> None:
        """Do what need not wait for the next inputs; to be called when the command is out."""
        if self._unsettled:
            assert self._constant is not None
            self.policy.observe_reward(self._constant)
            self._unsettled = False

    def take_notes(self) -> list[str]:
        """Return what happened since the last call that deserves a line in the log."""
        notes, self._notes = self._notes, []
        return notes

    def _begin(self, status: object) -> None:
        self._last = None
        self._unsettled = False
        self._assembler.reset()
        task, number = getattr(status, "task", ""), getattr(status, "tick", 0)
        self.policy.reset(task or None, self.target_return)
        if number and not self._count_ticks:
            self._notes.append(
                f"joined episode {getattr(status, 'episode', 0)} at tick {number}; "
                f"its past is unknown to the policy"
            )


def input_names(robot: RobotContract) -> Sequence[str]:
    """Names of the inputs whose ages a tick reports, in order."""
    return [topic.topic for topic in robot.topics]
