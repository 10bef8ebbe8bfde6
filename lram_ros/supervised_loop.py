"""A control loop behind the safety supervisor: one decision a tick, and what leaves. No rclpy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, LramError
from lram_ros.assembly import InputSet
from lram_ros.commander import Commander, Measured
from lram_ros.control import ActingPolicy, ControlLoop, Reading, Tick
from lram_ros.message_fields import Array
from lram_ros.robot_contract import RobotContract
from lram_ros.safety import (
    Decision,
    Fault,
    Mode,
    Request,
    Rules,
    State,
    World,
    supervise,
    wants_proposal,
    wind_down,
)
from lram_ros.safety.modes import MOVING
from lram_ros.safety.state_policy import Event, effect, event_of

_REASON = 120  # letters of a reason that are kept


@dataclass(frozen=True)
class Outlet:
    """Where a loop's doings go.

    Attributes:
        publish: sends a message to a sink, by its number.
        trace: takes (tick, seconds of publishing, seconds in total).
        ros_now: ROS time in nanoseconds.
        say: takes (severity, text): ``error`` or ``warning``.
        faulted: takes a fault when it latches.
        failed: takes what ended the loop.
    """

    publish: Callable[[int, Any], None]
    trace: Callable[[Tick, float, float], None]
    ros_now: Callable[[], int]
    say: Callable[[str, str], None]
    faulted: Callable[[Fault], None]
    failed: Callable[[Exception], None]


@dataclass(frozen=True)
class Outcome:
    """What a tick came to.

    Attributes:
        decision: of the supervisor.
        sent: whether a command left.
        tick: the policy's answer; None where it was not asked.
        published: when the commands had left, by ``time.perf_counter``.
        fault: one that latched in this tick.
    """

    decision: Decision
    sent: bool
    tick: Tick | None
    published: float
    fault: Fault | None

    @property
    def reason(self) -> str:
        """Why no command or another one left; empty when all is well."""
        decision = self.decision
        text = str(decision.fault) if decision.fault else "; ".join(decision.waiting_for)
        return text[:_REASON]


class SupervisedLoop:
    """Asks the policy when its answer would be used, supervises, sends.

    Attributes:
        loop: the policy's side.
        state: of the supervisor.
        decision: of the last tick; None before the first.
        alive: whether anything may leave.
        watchdog: says what a watchdog found in the meantime.
    """

    def __init__(
        self,
        robot: RobotContract,
        policy: ActingPolicy,
        commander: Commander,
        rules: Rules,
        outlet: Outlet,
    ) -> None:
        self.loop = ControlLoop(policy, robot)
        self.state = State()
        self.decision: Decision | None = None
        self.alive = False
        self.watchdog: Callable[[], str] = lambda: ""
        self.restart_asked = False
        self.measured: Measured | None = None
        self._commander, self._rules, self._outlet = commander, rules, outlet
        self._lock = threading.Lock()  # of the state, and of the right to send
        self._fault: Fault | None = None
        self._target: tuple[Array, npt.NDArray[np.bool_]] | None = None
        self._last: Tick | None = None

    @property
    def moving(self) -> bool:
        return self.state.mode in MOVING

    @property
    def position(self) -> Array | None:
        """Measured values of the wire, as they were last known; None before the first set."""
        return None if self.measured is None else self._commander.position(self.measured)

    def start(self) -> None:
        """Let commands out from now on."""
        self._commander.start()
        self.alive = True

    def read(self, inputs: InputSet | None, messages: Sequence[Any]) -> tuple[Reading | None, str]:
        """Return (reading, what is wrong with it).

        Args:
            inputs: a whole, fresh set; None: there is none, then the reading is None.
            messages: the newest of each topic, however old; None where none came.
        """
        if self.restart_asked:
            self.restart_asked = False
            self.loop.restart()
        try:
            self.measured = self._commander.measured(messages)
            return self.loop.read(inputs) if inputs is not None else None, ""
        except LramError as error:
            return None, str(error)

    def decide(self, world: World, reading: Reading | None, start: float) -> Outcome | None:
        """One tick.

        Args:
            world: what is known, see :class:`World`.
            reading: the set to answer, if there is one.
            start: when the tick began, by ``time.perf_counter``.

        Returns:
            None when nothing may leave any more.
        """
        before = self.state.mode
        tick, fresh, proposed, clipped = None, False, None, None
        # Another episode begins from rest, and from the measured pose.
        pause = reading is None or not reading.running or (reading.begins and before in MOVING)
        if not pause and wants_proposal(self._rules, self.state, world):
            assert reading is not None
            try:
                tick, fresh, proposed, clipped = self._propose(reading, start)
            except ContractError as error:  # each value is sound, but the model cannot take them
                world = replace(world, invalid=str(error))
        with self._lock:
            if not self.alive:
                return None
            found = self.watchdog()
            if found and not world.watchdog:  # it barked while the policy was asked
                world = replace(world, watchdog=found)
            self.state, decision = supervise(self._rules, self.state, world, proposed)
            self.decision = decision
            stamp = reading.inputs.stamp if reading is not None else self._outlet.ros_now()
            sent = self._send(decision, stamp, tick or self._last)
        published = perf_counter()
        fault = self._follow(before, decision, world.request)
        if tick is not None:
            assert clipped is not None
            tick = self._last = self._complete(tick, decision, sent, clipped | decision.limited)
            if fresh:
                self._outlet.trace(tick, published - tick.acted, published - start)
                self.loop.settle()
                if not np.isfinite(tick.raw).all():
                    text = f"no command: the policy's action is not finite: {tick.raw.tolist()}"
                    self._outlet.say("error", text)
        for note in self.loop.take_notes():
            self._outlet.say("warning", note)
        return Outcome(decision, sent, tick, published, fault)

    def repeat(self, stamp: int) -> None:
        """Send the last command again."""
        with self._lock:
            if self.alive and self.decision is not None:
                self._send(self.decision, stamp, self._last)

    def rest(self, now: Callable[[], float]) -> None:
        """Come to rest within a tick, unseen: where no time passes for anybody (lockstep)."""
        with self._lock:
            # Where it was sent: the measured joints may be those of the next episode already.
            there = None if self.state.motion is None else self.state.motion.command
            for _ in range(self._rules.limits.stop_ticks + 1):
                world = World(now=now(), position=there)
                self.state, self.decision = supervise(self._rules, self.state, world, None)
                if self.state.mode not in (*MOVING, Mode.STOPPING):
                    return

    def wind_down(self, fault: Fault, leave: bool = True, pause: float = 0.0) -> None:
        """Send the commands that are left, ``pause`` seconds apart, the safe one last."""
        with self._lock:
            first = True
            for state, decision in wind_down(self._rules, self.state, fault, leave):
                if not first:
                    time.sleep(pause)
                first = False
                self.state, self.decision = state, decision
                self._send(decision, self._outlet.ros_now(), self._last)
            self.alive = self.alive and not leave
            self._fault = self._fault or fault

    def _propose(
        self, reading: Reading, start: float
    ) -> tuple[Tick, bool, Array, npt.NDArray[np.bool_]]:
        assert self.measured is not None
        if not self.moving:  # a start
            self._commander.start()
            self._target = None
            if self.state.mode is Mode.HOLDING:  # re-armed in this very tick
                self.loop.restart()
                reading = self.loop.read(reading.inputs)
        tick, fresh = self.loop.answer(reading, start)
        if fresh or self._target is None:
            try:
                self._target = self._commander.target(tick.raw, self.measured)
            except LramError as error:
                if np.isfinite(tick.raw).all():
                    self._outlet.say("error", str(error))
                size = self._commander.size
                self._target = np.full(size, np.nan), np.zeros(size, dtype=bool)
        return tick, fresh, *self._target

    def _complete(
        self, tick: Tick, decision: Decision, sent: bool, clipped: npt.NDArray[np.bool_]
    ) -> Tick:
        """The tick with what was really commanded."""
        values = decision.command if sent else None
        if values is not None:
            direct = self._commander.by_action(values)
            values = values if direct is None else direct
        marks = self._commander.by_action(clipped)
        if marks is None:
            marks = np.full(len(tick.raw), bool(clipped.any()))
        return replace(tick, commanded=values, clipped=marks)

    def _follow(self, before: Mode, decision: Decision, request: Request) -> Fault | None:
        """Let the recurrent state follow what happened; returns a fault that has just latched."""
        events, new = set(), None
        if request is Request.REARM and decision.mode is not Mode.HOLDING:
            self._fault = None
            if before is Mode.HOLDING and decision.mode is Mode.WAITING:
                events.add(Event.REARM)
        latched = decision.mode in (Mode.STOPPING, Mode.HOLDING)
        if latched and decision.fault is not None and self._fault is None:
            new = self._fault = decision.fault
            events.add(event_of(new.reason))
        if effect(events)[0]:
            self.loop.restart()
        return new

    def _send(self, decision: Decision, stamp: int, tick: Tick | None) -> bool:
        """Send what was decided; returns whether anything left. With the lock held."""
        if decision.command is None:
            return False
        episode, number = (tick.episode, tick.number) if tick is not None else (0, 0)
        sent = False
        for index, message in self._commander.messages(
            decision.command, decision.moving, stamp, episode, number
        ):
            self._outlet.publish(index, message)
            sent = True
        return sent
