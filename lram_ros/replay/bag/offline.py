"""The ticks of a bag through policies, as fast as the machine can: by the node's control loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.codec import ActionCodec
from lram_core.errors import LramError
from lram_core.policy import Policy
from lram_ros.control import ControlLoop, Reading, Tick
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.message_fields import Array
from lram_ros.replay.bag.ticks import ReplayTick
from lram_ros.robot_contract import RobotContract


@dataclass(frozen=True)
class Answer:
    """What a policy answered at one tick, and how likely it found the recorded command.

    Attributes:
        tick: as the control loop gives it.
        command: (size,) values of all sinks that the action becomes, without the supervisor's
            limits of speed; NaN where it becomes none.
        recorded: (actions,) the bundle's action behind the recorded command; NaN where it is not
            known.
        bins, recorded_bins: (actions,) int64; -1 where it is not known.
        nll: (actions,) negative log-likelihood of the recorded bin, nats; NaN likewise.
    """

    tick: Tick
    command: Array
    recorded: Array
    bins: npt.NDArray[np.int64]
    recorded_bins: npt.NDArray[np.int64]
    nll: Array


class OfflinePolicy:
    """A bundle that answers the ticks of a bag.

    Its past is what the recorded robot saw and did, not what its own answers would have led to:
    a delta starts from the recorded command.

    Attributes:
        name: short, for tables and topics.
        loaded: the bundle, which fits the robot.
        target_return: to ask for; None: the bundle's, by task.
    """

    def __init__(
        self,
        name: str,
        robot: RobotContract,
        loaded: LoadedPolicy,
        target_return: float | None = None,
    ) -> None:
        self.name, self.loaded, self.target_return = name, loaded, target_return
        self.policy: Policy = loaded.policy
        self._loop = ControlLoop(self.policy, robot)
        self._loop.target_return = target_return
        self._codec = ActionCodec(self.policy.contract.action, self.policy.runtime.logits.shape[-1])

    def ask(self, recorded: ReplayTick) -> tuple[Answer | None, Reading]:
        """Answer a tick; None where no episode runs, or the set was answered before.

        Raises:
            InputError, ContractError: the node would refuse these inputs too; nothing has changed.
        """
        if recorded.restarts:
            self._loop.restart()
        reading = self._loop.read(recorded.inputs)
        if not reading.running or reading.repeated:
            return None, reading
        commander = self.loaded.commander
        measured = commander.measured(recorded.inputs.messages)
        if reading.begins:
            commander.start()
        tick, _ = self._loop.answer(reading, perf_counter())
        logits = np.array(self.policy.runtime.logits, dtype=np.float64)
        actions = len(tick.raw)
        command = np.full(commander.size, math.nan)
        with suppress(LramError):  # not finite, or out of the arm's reach: no command
            command = commander.target(tick.raw, measured)[0]
        theirs = np.full(actions, math.nan)
        if recorded.command is not None:
            theirs = commander.action(recorded.command, measured)
            commander.sent(recorded.command)
        unknown = np.isnan(theirs)
        if recorded.trace is not None and unknown.any():
            raw = _by_name(recorded.trace, self.policy.contract.action_names)
            theirs[unknown] = raw[unknown]
        self._loop.settle()
        self._loop.take_notes()
        recorded_bins = self._bins(theirs)
        answer = Answer(
            tick=tick,
            command=command,
            recorded=theirs,
            bins=self._bins(tick.raw),
            recorded_bins=recorded_bins,
            nll=_nll(logits, recorded_bins),
        )
        return answer, reading

    def _bins(self, values: Array) -> npt.NDArray[np.int64]:
        known = np.isfinite(values)
        middle = (self._codec.low + self._codec.high) / 2
        return np.where(known, self._codec.encode(np.where(known, values, middle)), -1)


def _by_name(trace: Any, names: Sequence[str]) -> Array:
    """The raw action of a trace in another order; NaN for what it does not have."""
    found = dict(zip(trace.action_name, trace.raw_action, strict=True))
    return np.array([found.get(name, math.nan) for name in names], dtype=np.float64)


def _nll(logits: Array, bins: npt.NDArray[np.int64]) -> Array:
    """-log softmax(logits) at ``bins``, NaN where a bin is -1."""
    top = logits.max(axis=-1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=-1)) + top[:, 0]
    picked = np.take_along_axis(logits, np.maximum(bins, 0)[:, None], axis=-1)[:, 0]
    return np.where(bins >= 0, log_sum - picked, math.nan)


@dataclass
class Answers:
    """What one policy answered over a bag: arrays of (ticks, …), as in :class:`Answer`."""

    name: str
    bundle: str
    runtime: str
    seconds: float
    command: Array
    raw: Array
    recorded: Array
    bins: npt.NDArray[np.int64]
    recorded_bins: npt.NDArray[np.int64]
    nll: Array
    observation: npt.NDArray[np.float32]
    return_to_go: Array


@dataclass
class Replayed:
    """The ticks of a bag, and what policies answered.

    Attributes:
        segment: int64 (N,), counts what the policies take for an episode: a restart begins a new
            one.
        number: int64 (N,), tick within it, from 0.
        stamp: int64 (N,), ns, of the inputs.
        time: float64 (N,), s since the bag's start, by the recorder's clock.
        command: float64 (N, size), recorded values of all sinks; NaN where there was none.
        trace: (N,) recorded traces or None.
        titles: one a segment, for people.
        answers: of each policy.
        refused: inputs that the node would refuse, a line each.
    """

    segment: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    stamp: npt.NDArray[np.int64]
    time: Array
    command: Array
    trace: list[Any | None]
    titles: list[str]
    answers: list[Answers]
    refused: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.stamp)


def replay_offline(
    ticks: Iterable[ReplayTick],
    policies: Sequence[OfflinePolicy],
    start: int,
    describe: Any,
) -> Replayed:
    """Ask every policy at every tick.

    Args:
        ticks: of the bag.
        policies: at least one; all of them see the same.
        start: of the bag, ns.
        describe: takes (tick, error), returns the line for a refused set of inputs.
    """
    size = policies[0].loaded.commander.size
    answers: list[list[Answer]] = [[] for _ in policies]
    seconds = [0.0 for _ in policies]
    kept: list[tuple[int, int, ReplayTick]] = []
    titles: list[str] = []
    refused: list[str] = []
    number = 0
    for tick in ticks:
        try:
            found = []
            for index, policy in enumerate(policies):
                began = perf_counter()
                answer, reading = policy.ask(tick)
                seconds[index] += perf_counter() - began
                found.append(answer)
        except LramError as error:
            refused.append(describe(tick, error))
            continue
        if found[0] is None:
            continue
        if reading.begins:
            status = reading.status
            titles.append(f"{status.task or 'run'} {status.episode or len(titles) + 1}")
            number = 0
        kept.append((len(titles) - 1, number, tick))
        number += 1
        for row, answer in zip(answers, found, strict=True):
            assert answer is not None
            row.append(answer)
    return Replayed(
        segment=np.array([segment for segment, _, _ in kept], dtype=np.int64),
        number=np.array([count for _, count, _ in kept], dtype=np.int64),
        stamp=np.array([tick.inputs.stamp for *_, tick in kept], dtype=np.int64),
        time=np.array([(tick.time - start) * 1e-9 for *_, tick in kept], dtype=np.float64),
        command=_rows([tick.command for *_, tick in kept], size),
        trace=[tick.trace for *_, tick in kept],
        titles=titles,
        answers=[
            _stacked(policy, row, spent)
            for policy, row, spent in zip(policies, answers, seconds, strict=True)
        ],
        refused=refused,
    )


def _stacked(policy: OfflinePolicy, answers: list[Answer], seconds: float) -> Answers:
    contract = policy.policy.contract
    actions, observations = contract.action_size, contract.observation_size
    return Answers(
        name=policy.name,
        bundle=str(Path(policy.loaded.bundle)),
        runtime=policy.policy.runtime.describe(),
        seconds=seconds,
        command=_rows([a.command for a in answers], policy.loaded.commander.size),
        raw=_rows([a.tick.raw for a in answers], actions),
        recorded=_rows([a.recorded for a in answers], actions),
        bins=np.array([a.bins for a in answers], dtype=np.int64).reshape(-1, actions),
        recorded_bins=np.array([a.recorded_bins for a in answers], dtype=np.int64).reshape(
            -1, actions
        ),
        nll=_rows([a.nll for a in answers], actions),
        observation=np.array([a.tick.observation for a in answers], dtype=np.float32).reshape(
            -1, observations
        ),
        return_to_go=np.array([a.tick.return_to_go for a in answers], dtype=np.float64),
    )


def _rows(values: Sequence[Array | None], size: int) -> Array:
    gap = np.full(size, math.nan)
    found = [gap if value is None else value for value in values]
    return np.array(found, dtype=np.float64).reshape(-1, size)
