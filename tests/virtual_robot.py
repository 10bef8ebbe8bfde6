"""A policy node's loop and a mock robot without DDS, threads and waiting: time is a number here.

Everything between the messages is real: the runner with its clock check and watchdog, the
supervised loop, a bundle, the mock robot's messages, joints and faults. Only what keeps time is
replaced: nothing sleeps, and a tick happens when the test says so.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np

from benchmarks import fault_arm
from lram_core.policy import Policy
from lram_ros import runner as runner_module
from lram_ros import supervised_loop as loop_module
from lram_ros.adapters.registry import make_adapters
from lram_ros.assembly import LatestCollector
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.mock.faults import parse_fault
from lram_ros.mock.injector import FaultPlan
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.robot_contract import RobotContract
from lram_ros.runner import Runner, RunnerSettings
from lram_ros.safety import Mode, Rules, Watchdog
from lram_ros.supervised_loop import Outlet
from lram_ros.ticker import TickTime

PERIOD = 1.0 / fault_arm.RATE
TOPICS = ["joint_states", "goal"]
SIM_START, WALL_START = 1.0, 1.7e9


class Glitching:
    """A policy whose next answer can be spoilt."""

    def __init__(self, policy):
        self.policy, self.glitch, self.asked = policy, None, 0

    def __getattr__(self, name):
        return getattr(self.policy, name)

    def act(self, observation, reward):
        action = self.policy.act(observation, reward)
        self.asked += 1
        if self.glitch is not None:
            action.values[:] = self.glitch
        return action


class VirtualTicker:
    """Ticks when it is told to."""

    def __init__(self, rate, tick, on_error, prepare):
        self._tick, self._on_error, self.number, self.alive = tick, on_error, 0, True

    def start(self):
        pass

    def stop(self):
        self.alive = False

    def tick(self, now):
        if not self.alive:
            return
        self.number += 1
        try:
            self._tick(TickTime(self.number, now, 0.0, 0))
        except BaseException as error:
            self.alive = False
            self._on_error(error)


class VirtualRobot:
    """A mock robot and the loop that drives it.

    Attributes:
        sent: (values, mode, fault) of every decision, in order; None for no command.
        gone: whether the robot has been killed.

    Readings come ``offset`` of a period before the tick.
    """

    def __init__(self, monkeypatch, folder, simulated, offset=0.0):
        self.now, self.ros, self.simulated, self._offset = 100.0, 0.0, simulated, offset
        self.sent, self.failures, self.faults, self.said = [], [], [], []
        self.gone = False
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(runner_module, "time", clock)
        monkeypatch.setattr(loop_module, "time", clock)
        monkeypatch.setattr(runner_module, "Ticker", self._make_ticker)
        monkeypatch.setattr(runner_module, "Watchdog", self._make_watchdog)
        self.contract = RobotContract.from_dict(fault_arm.contract(0.1), "arm.yaml")
        _, bundle = fault_arm.write(folder, fault_arm.MEASURED)
        policies = []

        def load(path, **options):
            policies.append(Glitching(Policy.load(path, **options)))
            return policies[-1]

        loaded = LoadedPolicy.load(self.contract, str(bundle), load)
        self.policy, self.limits = policies[0], loaded.limits
        outlet = Outlet(
            publish=self._publish,
            trace=lambda *_: None,
            ros_now=lambda: round(self.ros * 1e9),
            say=lambda severity, text: self.said.append(text),
            faulted=self.faults.append,
            failed=self.failures.append,
        )
        rules = Rules(loaded.limits, blend_s=0.2, proof_s=0.1)
        settings = RunnerSettings(watchdog_s=0.1, simulated_time=simulated, black_box_ticks=50)
        self.runner = Runner(self.contract, self.policy, loaded.commander, rules, settings, outlet)
        self.runner._answered = _TickingEvent(self.tick)
        self._message = None
        self._hook_decisions()
        self._latest = LatestCollector(self.contract.topics)
        (self._adapter,) = make_adapters(self.contract)
        self._makers = [MessageMaker(topic, {}) for topic in self.contract.topics]
        self.boot()
        self.runner.start(fault_arm.RATE, self._latest, threading.Lock(), lambda: None)

    # What the test does

    def boot(self):
        """Start the robot, for the first time or anew."""
        self.gone = False
        self.joints = Joints(self.contract, PERIOD)
        self._booted = self.now
        self.set_faults()

    def set_faults(self, *texts):
        for maker in self._makers if hasattr(self, "_plan") else ():
            for message in self._plan.topics[maker.topic.topic].release():
                self._latest.add(TOPICS.index(maker.topic.topic), message, self.now)
        faults = [parse_fault(text, TOPICS) for text in texts]
        self._plan, self._since = FaultPlan(faults, self._makers), self.now

    def tick(self, periods=1.0):
        """Let the robot publish, then the loop tick, ``periods`` after the tick before."""
        wait = self._offset * PERIOD
        self.now += periods * PERIOD - wait
        if not self.gone:
            self._robot()
        self.now += wait
        if not self.simulated:
            self.ros = WALL_START + self.now
        self._watchdog.check()
        self._ticker.tick(self.now)

    @property
    def mode(self):
        return self.runner.mode

    def until(self, mode, ticks=200):
        for _ in range(ticks):
            if self.mode is mode:
                return True
            self.tick()
        return self.mode is mode

    # What keeps time

    def _sleep(self, seconds):
        self.now += seconds

    def _make_ticker(self, *arguments):
        self._ticker = VirtualTicker(*arguments)
        return self._ticker

    def _make_watchdog(self, deadline, on_expire):
        self._watchdog = Watchdog(deadline, on_expire, clock=lambda: self.now)
        self._watchdog.start = self._watchdog.arm
        return self._watchdog

    # The robot

    def _robot(self):
        elapsed, since = self.now - self._booted, self.now - self._since
        start = SIM_START if self.simulated else WALL_START + self._booted
        stamp = self._plan.clock.read(round((start + elapsed) * 1e9), since)
        if self.simulated:
            self.ros = stamp * 1e-9
        self.joints.step()
        for index, maker in enumerate(self._makers):
            faults = self._plan.topics[maker.topic.topic]
            made = maker.make(elapsed, stamp, self.joints)
            for message in faults.apply(made, since):
                self._latest.add(index, message, self.now)

    def _publish(self, sink, message):
        self._message = message

    def _hook_decisions(self):
        supervised = self.runner.supervised
        send = supervised._send

        def hooked(decision, stamp, tick):
            self._message = None
            left = send(decision, stamp, tick)
            values = None
            if self._message is not None:
                values = np.array(self._adapter.decode(self._message))
                if not self.gone:
                    self.joints.command(self._adapter.sink, values.tolist())
            position = supervised.position
            self.sent.append((values, decision.mode, decision.fault, position))
            return left

        supervised._send = hooked


class _TickingEvent:
    """An event that comes about by ticking, since nobody else does it."""

    def __init__(self, tick):
        self._tick, self._set = tick, False

    def clear(self):
        self._set = False

    def set(self):
        self._set = True

    def wait(self, seconds):
        for _ in range(3):
            if not self._set:
                self._tick()
        return self._set


class WireWitness:
    """Looks at what leaves, command by command."""

    def __init__(self, limits):
        self.limits = limits
        self.step_limit = limits.step + 1e-9
        self.change_limit = limits.acceleration * PERIOD * PERIOD + 1e-9
        self.command = self.step = self.fault = None
        self.mode = Mode.IDLE
        self.count = 0

    def see(self, values, mode, fault, position):
        moving = mode in (Mode.BLENDING, Mode.RUNNING)
        if self.mode in (Mode.STOPPING, Mode.HOLDING) and mode in (Mode.STOPPING, Mode.HOLDING):
            assert self.fault is None or fault == self.fault  # one reason, the first
        if mode is Mode.HOLDING:
            assert fault is not None
        begins = moving and self.mode not in (Mode.BLENDING, Mode.RUNNING)
        self.mode, self.fault = mode, fault
        if values is None:
            self.command = self.step = None
            return
        self.count += 1
        assert np.isfinite(values).all()
        assert (values >= self.limits.low).all()
        assert (values <= self.limits.high).all()
        if self.command is None or (
            begins and (np.abs(values - self.command) > self.step_limit).any()
        ):
            # A start that does not go on from what is held begins where the robot is.
            at = np.clip(position, self.limits.low, self.limits.high)
            assert (np.abs(values - at) <= self.change_limit).all()
            step = np.zeros_like(values)
        else:
            step = values - self.command
            before = np.zeros_like(step) if self.step is None else self.step
            assert (np.abs(step) <= self.step_limit).all()
            assert (np.abs(step - before) <= self.change_limit).all()
            if not moving:  # speeds only fall, and do not turn round
                assert (np.abs(step) <= np.abs(before) + 1e-9).all()
                assert (step * before >= -1e-12).all()
        self.command, self.step = values, step
