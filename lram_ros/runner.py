"""One activation of the policy: when it ticks, what it is asked, how it ends. Free of rclpy.

Two ways to tick. By the clock: every control period on a thread of its own, whatever came in. By
the set: when a complete set of one stamp has come. Where that set comes from a simulator that
waits for each command (lockstep), time is counted in ticks, and a set that is refused is no tick.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from lram_core.errors import one_line
from lram_ros.assembly import InputSet, LatestCollector
from lram_ros.commander import Commander
from lram_ros.control import ActingPolicy, Reading
from lram_ros.robot_contract import RobotContract
from lram_ros.safety import (
    ClockLimits,
    ClockMemory,
    ClockVerdict,
    Fault,
    Mode,
    Reason,
    Request,
    Rules,
    Source,
    Watchdog,
    World,
    check_clock,
)
from lram_ros.supervised_loop import Outlet, SupervisedLoop
from lram_ros.tick_notes import TickNotes
from lram_ros.ticker import Ticker, TickTime

_STOP_S = 2.0  # a policy that hangs must not keep the node from being stopped
_ANSWER_S = 1.0


@dataclass(frozen=True)
class RunnerSettings:
    """How a runner behaves.

    Attributes:
        watchdog_s: seconds without a tick, or of a ROS time that stands still, after which the
            robot is stopped.
        simulated_time: ROS time is ``/clock``.
        black_box_ticks: ticks kept for the file of a fault.
    """

    watchdog_s: float
    simulated_time: bool = False
    black_box_ticks: int = 500


class Runner:
    """Ticks from :meth:`start` to :meth:`stop`; made anew for every activation.

    Attributes:
        lockstep: see :attr:`RobotContract.lockstep`.
        supervised: the loop behind the supervisor.
        notes: what is kept of the ticks.
        command_publishers, lost, ambiguous: what the node sees in the graph, see :class:`World`.
    """

    def __init__(
        self,
        robot: RobotContract,
        policy: ActingPolicy,
        commander: Commander,
        rules: Rules,
        settings: RunnerSettings,
        outlet: Outlet,
    ) -> None:
        self.lockstep = robot.lockstep
        self.supervised = SupervisedLoop(robot, policy, commander, rules, outlet)
        self.notes = TickNotes(robot, policy, commander, settings.black_box_ticks)
        self.command_publishers: int | None = None
        self.lost: tuple[str, ...] = ()
        self.ambiguous: tuple[str, ...] = ()
        self._outlet = outlet
        self._topics = robot.topics
        self._period = rules.limits.period
        limits = ClockLimits.simulated() if settings.simulated_time else ClockLimits.system()
        # While ROS time stands still no new action is asked for: nobody drives, as without ticks.
        # When it stopped is known to a period.
        still = max(settings.watchdog_s - self._period, 0.5 * settings.watchdog_s)
        self._clock_limits = replace(limits, frozen_after=still)
        self._clock_memory: ClockMemory | None = None
        self._request = Request.ACTIVATE
        self._answered = threading.Event()
        self._stop_asked = self._stop_pulse = False
        self._virtual = 0
        self._started = 0.0
        self._has_moved = False
        self._missed, self._lateness = 0, 0.0
        self._watchdog = Watchdog(settings.watchdog_s, self._on_watchdog)
        self.supervised.watchdog = lambda: self._watchdog.expired
        self._ticker: Ticker | None = None

    # Life

    def start(
        self,
        rate: float,
        latest: LatestCollector | None,
        inputs_lock: threading.Lock,
        prepare: Callable[[], None],
    ) -> None:
        """Begin; with ``latest`` the clock ticks at ``rate`` in Hz, else :meth:`tick_set` does.

        Args:
            inputs_lock: of ``latest``.
            prepare: called on the clock's thread before its first tick.
        """
        self._started = time.monotonic()
        self.supervised.start()
        if not self.lockstep:
            self._watchdog.start()
            if latest is None:
                self._watchdog.disarm()  # until the first set has come
        if latest is not None:
            self._latest, self._inputs_lock = latest, inputs_lock
            self._ticker = Ticker(rate, self._tick_clock, self._on_error, prepare)
            self._ticker.start()

    def stop(self, reason: Reason) -> None:
        """Stop ticking first, then bring the robot to rest; the safe command goes out last."""
        self._watchdog.disarm()
        if self._ticker is not None:
            ending = threading.Thread(target=self._ticker.stop, daemon=True)
            ending.start()
            ending.join(_STOP_S)
            if ending.is_alive():
                self._outlet.say("error", "the policy hangs; its thread is left behind")
        self._watchdog.stop()
        self._wind_down(Fault(reason))

    @property
    def mode(self) -> Mode:
        return self.supervised.state.mode

    @property
    def fault(self) -> Fault | None:
        return self.supervised.state.fault

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What keeps the robot from being started or re-armed."""
        decision = self.supervised.decision
        return decision.waiting_for if decision is not None else ()

    def overdue(self, timeout: float) -> str:
        """Say why the robot has not started ``timeout`` seconds after activation; empty: it may.

        A robot that waits for an episode alone, or was stopped by a fault, is not overdue.
        """
        waited = time.monotonic() - self._started
        if self._has_moved or self.lockstep or waited < timeout or self.mode is Mode.HOLDING:
            return ""
        return "no tick yet" if self.supervised.decision is None else "; ".join(self.waiting_for)

    # Requests, from the executor's thread

    def rearm(self) -> tuple[bool, str]:
        """Ask for a re-arm; returns whether it was accepted, and what stands against it."""
        if self.mode is not Mode.HOLDING:
            return False, f"nothing to re-arm: the mode is {self.mode.value}"
        if not self.lockstep:
            self._watchdog.arm()
        self._answered.clear()
        self._request = Request.REARM
        if self._ticker is None:
            self._decide(self._world(self._now()), None, perf_counter())
        elif not self._answered.wait(_ANSWER_S):
            self._request = Request.NONE  # not later, when nobody expects it any more
            return False, "the control loop does not tick"
        if self.mode is Mode.HOLDING:
            return False, "; ".join(self.waiting_for) or str(self.fault)
        return True, "; ".join(self.waiting_for) or "re-armed"

    def reset_episode(self) -> None:
        """Start the policy's episode anew, from rest; at the next tick."""
        self.supervised.restart_asked = True

    def external_stop(self, asked: bool) -> None:
        """Take the external stop's signal; a pulse is kept until a tick has seen it."""
        self._stop_asked = asked
        self._stop_pulse = self._stop_pulse or asked

    # Ticks

    def tick_set(self, inputs: InputSet, start: float) -> None:
        """Answer a complete set of one stamp; ``start`` is when it was, by ``perf_counter``."""
        if not self.supervised.alive:
            return
        try:
            self._tick_set(inputs, start)
        except Exception as error:
            self._on_error(error)

    def _tick_set(self, inputs: InputSet, start: float) -> None:
        supervised = self.supervised
        if self.lockstep:
            reading, invalid = supervised.read(inputs, inputs.messages)
            if invalid:  # everything waits for a sound set of this stamp
                self._outlet.say("error", f"no command: {invalid}")
                return
            assert reading is not None
            if supervised.moving and reading.repeated:
                supervised.repeat(inputs.stamp)
                return
            if supervised.moving and (reading.begins or not reading.running):
                supervised.rest(self._now)
        else:
            if not self._watchdog.expired and self.supervised.decision is None:
                self._watchdog.arm()
            self._watchdog.feed()
            reading, invalid = supervised.read(inputs, inputs.messages)
        self._decide(self._world(self._now(), invalid=invalid), reading, start)

    def _tick_clock(self, when: TickTime) -> None:
        start = perf_counter()
        self._watchdog.feed()
        self._missed, self._lateness = when.missed, when.lateness
        steady, ros = time.monotonic(), self._outlet.ros_now()
        with self._inputs_lock:
            ages = self._latest.ages(steady, ros)
            newest = self._latest.newest(ages, ros)
        sources = [
            Source(topic.topic, age, topic.max_age)
            for topic, age in zip(self._topics, ages, strict=True)
        ]
        self._clock_memory, verdict = check_clock(
            # 0 is no time: /clock has not come yet.
            self._clock_limits,
            self._clock_memory,
            steady,
            ros * 1e-9 if ros else math.nan,
        )
        fresh = all(source.fresh for source in sources)
        whole = fresh and all(message is not None for message in newest.messages)
        reading, invalid = self.supervised.read(newest if whole else None, newest.messages)
        self._decide(self._world(steady, sources, verdict, invalid), reading, start)

    def _world(
        self,
        now: float,
        sources: Sequence[Source] = (),
        clock: ClockVerdict = ClockVerdict(),  # noqa: B008 - frozen
        invalid: str = "",
    ) -> World:
        """What is known at a tick; takes the request and the stop's pulse with it."""
        # Written only where something was found: what the other thread sets meanwhile stays.
        request, pulse = self._request, self._stop_pulse
        if request is not Request.NONE:
            self._request = Request.NONE
        if pulse:
            self._stop_pulse = False
        return World(
            now=now,
            sources=sources,
            position=self.supervised.position,
            clock=clock,
            command_publishers=self.command_publishers,
            lost=self.lost,
            ambiguous=self.ambiguous,
            invalid=invalid,
            external_stop=self._stop_asked or pulse,
            watchdog=self._watchdog.expired,
            request=request,
        )

    def _decide(self, world: World, reading: Reading | None, start: float) -> None:
        # The supervisor's own time, so that a black box tells the lengths of ticks that it went by;
        # in lockstep that is no clock's.
        steady = world.now
        if self.lockstep:
            steady = time.monotonic() - (perf_counter() - start)
        outcome = self.supervised.decide(world, reading, start)
        if outcome is None:
            return
        self._has_moved = self._has_moved or outcome.decision.moving
        stamp = reading.inputs.stamp if reading is not None else self._outlet.ros_now()
        ages = [source.age for source in world.sources]
        self.notes.add(outcome, stamp, steady, start, ages, self._missed, self._lateness)
        if world.request is Request.REARM:
            self._answered.set()
        if outcome.fault is not None:
            self._outlet.faulted(outcome.fault)

    def _now(self) -> float:
        """Steady time; in lockstep a whole number of periods."""
        if not self.lockstep:
            return time.monotonic()
        self._virtual += 1
        return self._virtual * self._period

    # Ends

    def _wind_down(self, fault: Fault, leave: bool = True) -> None:
        self.supervised.wind_down(fault, leave, 0.0 if self.lockstep else self._period)

    def _on_watchdog(self, found: str) -> None:
        fault, known = Fault(Reason.WATCHDOG, found), self.fault
        self._wind_down(fault, leave=False)
        if known is None:  # else the robot was stopped before, by another name
            self._outlet.faulted(fault)

    def _on_error(self, error: BaseException) -> None:
        fault = Fault(Reason.RUNNER_FAILED, one_line(repr(error)))
        self._watchdog.disarm()
        try:
            self._wind_down(fault)
        finally:
            self.supervised.alive = False
            self._outlet.faulted(fault)
            self._outlet.failed(
                error if isinstance(error, Exception) else RuntimeError(repr(error))
            )
