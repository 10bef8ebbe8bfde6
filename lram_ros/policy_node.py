"""The policy node: subscribes to what a robot contract names, drives with a policy bundle.

A lifecycle node. configure loads, checks and warms up; activate starts the ticks; deactivate,
error and shutdown stop them and send the safe command last. See docs/ros.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from lram_core.errors import LramError, listed
from lram_core.policy import Policy
from lram_core.signals import StopRequest
from lram_ros.assembly import InputSet
from lram_ros.black_box import Recording
from lram_ros.control import Tick
from lram_ros.diagnostics import loop_status, runtime_status, safety_status
from lram_ros.live_check import wait_for_topics
from lram_ros.live_inputs import LiveInputs
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.msg import PolicyTick
from lram_ros.policy_parameters import RUNTIME_IN_USE, PolicyParameters
from lram_ros.policy_services import PolicyServices
from lram_ros.process import declare, run_node
from lram_ros.qos import RECORDED, command_qos, data_qos
from lram_ros.realtime import apply_to_process, apply_to_thread, thaw_gc
from lram_ros.robot_contract import RobotContract
from lram_ros.runner import Runner, RunnerSettings
from lram_ros.safety import Fault, Reason, Rules
from lram_ros.supervised_loop import Outlet
from lram_ros.trace import TickMessages

_LOOK_S = 0.05  # a stop because of the graph is to take no longer than one by the watchdog
_REPORT_S = 1.0
_LOG_S = 2.0
_FLUSH_S = 0.3  # acknowledgements can take seconds; what was sent is on its way
_WATCHDOG_S = 0.1
_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR


class PolicyNode(LifecycleNode):
    """Drives a robot with a policy.

    Args:
        load: how a bundle becomes a policy, :meth:`Policy.load` by default.
        options: passed on to :class:`rclpy.lifecycle.LifecycleNode`.

    Attributes:
        state: of the lifecycle: unconfigured, inactive, active or finalized.
        failure: what ended the control loop of a node without manager, if anything did; it is of
            no more use then.
        stopped: asked while configure waits for topics; True ends it.
        runner: of the present activation; None while there is none.

    Raises:
        CommandError: a parameter has the wrong type or is out of its range.
    """

    def __init__(self, load: Callable[..., Any] = Policy.load, **options: Any) -> None:
        super().__init__("policy", **options)
        self.state = "unconfigured"
        self.failure: Exception | None = None
        self.stopped: Callable[[], bool] = lambda: False
        self.runner: Runner | None = None
        self._load = load
        self._given = PolicyParameters(self)
        self._given.on_change(self._check_parameter, self._on_parameter)
        self._managed = True
        self._refused: Exception | None = None
        self._broken: Exception | None = None
        self._loaded: LoadedPolicy | None = None
        self._candidate: LoadedPolicy | None = None
        self._inputs: LiveInputs | None = None
        self._commands: list[Any] = []
        self._made: list[Any] = []
        self._reported = 0
        # One thread for all files, from the start on: a new one each time takes a new piece of
        # memory each time.
        self._writer = ThreadPoolExecutor(1, "black box")
        self._writer.submit(int)
        # These stay over all transitions, some of which they start.
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", data_qos())
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_LOOK_S, self._look, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)

    def bring_up(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Configure and activate without a manager; a failure later ends the process.

        Returns:
            False if ``stopped`` ended the wait for the robot's topics.

        Raises:
            LramError: parameters, robot contract, bundle and live topics do not fit together.
        """
        self.stopped, self._managed = stopped, False
        done = self.trigger_configure() == _SUCCESS and self.trigger_activate() == _SUCCESS
        if self._refused is not None:
            raise self._refused
        return bool(done)

    def stop(self) -> None:
        """End for good: stop ticking, send the safe command, let the last messages out."""
        if self.state != "finalized":
            self.trigger_shutdown()

    # Transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, check, warm up, subscribe."""
        if self._attempt(self._configure):
            self.state = "inactive"
            return _SUCCESS
        self._tear_down()
        return _FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the ticks; the robot moves when every input has proved alive."""
        if self._attempt(self._activate):
            self.state = "active"
            return _SUCCESS
        return _FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the ticks, then send the safe command; an error if the loop had failed."""
        self._stop_runner(Reason.DEACTIVATED)
        self.state = "inactive"
        return _SUCCESS if self._broken is None else _ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget robot and model."""
        self._tear_down()
        self.state = "unconfigured"
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured: the robot rests, the model is gone."""
        self._stop_runner(Reason.RUNNER_FAILED)
        self._tear_down()
        self.state = "unconfigured"
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the ticks, then send the safe command; nothing comes after this."""
        self._stop_runner(Reason.SHUTDOWN)
        self._writer.shutdown()
        self._tear_down()
        self.state = "finalized"
        return _SUCCESS

    def _attempt(self, transition: Callable[[], bool]) -> bool:
        self._refused = None
        try:
            return transition()
        except Exception as error:
            self._refused = error
            if self._managed:  # else whoever brought it up tells
                self.get_logger().error(" ".join(str(error).split()))
            return False

    # Configure

    def _configure(self) -> bool:
        given = self._given
        given.check()
        robot = self._robot = RobotContract.load(given.contract)
        self._take(self._load_bundle(given["bundle"]))
        loaded = self._loaded
        assert loaded is not None
        self._commands = [
            self._keep(
                self.create_publisher(
                    adapter.message_type, adapter.sink.topic, command_qos(adapter.sink)
                )
            )
            for adapter in loaded.commander.adapters
        ]
        self._trace = self._keep(
            self.create_publisher(PolicyTick, "~/tick", data_qos(depth=RECORDED))
        )
        if not wait_for_topics(self, robot, given["topic_timeout"], self.stopped):
            return False
        self._inputs = LiveInputs(self, robot, self._on_set)
        PolicyServices(self, given["stop_topic"], lambda: self.runner, self._keep)
        policy = loaded.policy
        self.get_logger().info(
            f"ready: {policy.contract.suite} on {robot.robot} with {robot.gripper}, "
            f"{robot.control_rate:g} Hz, tick from {robot.tick_source}, first call took "
            f"{loaded.first_call * 1e3:.0f} ms; runtime {policy.runtime.describe()}"
        )
        return True

    def _load_bundle(self, bundle: str) -> LoadedPolicy:
        names = ("device", "runtime", "precision", "threads", "embodiment")
        options = {name: self._given[name] for name in names}
        return LoadedPolicy.load(self._robot, bundle, self._load, **options)

    def _take(self, loaded: LoadedPolicy) -> None:
        """Use what was loaded from now on."""
        self._loaded = loaded
        self._messages = TickMessages(self._robot, loaded.policy.contract)
        if self.has_parameter(RUNTIME_IN_USE):
            self.undeclare_parameter(RUNTIME_IN_USE)
        in_use = loaded.policy.runtime.describe()
        # Not read-only for ROS: such a parameter cannot be told anew.
        declare(self, RUNTIME_IN_USE, in_use, "What runs the model, and where.", read_only=False)

    def _tear_down(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        kinds = (self.destroy_subscription, self.destroy_service, self.destroy_publisher)
        for made in reversed(self._made):
            any(destroy(made) for destroy in kinds)  # each takes its own kind alone
        self._made.clear()
        self._commands.clear()
        self._loaded = self._candidate = None

    def _keep(self, made: Any) -> Any:
        self._made.append(made)
        return made

    # Activate and deactivate

    def _activate(self) -> bool:
        given, robot, loaded, inputs = self._given, self._robot, self._loaded, self._inputs
        assert loaded is not None
        assert inputs is not None
        lockstep = robot.lockstep
        rules = Rules(
            loaded.limits,
            blend_s=0.0 if lockstep else given["blend_time"],
            proof_s=0.0 if lockstep else given["proof_time"],
            late_s=given["late_after"] or None,
        )
        settings = RunnerSettings(
            watchdog_s=given["watchdog"] or max(5.0 / robot.control_rate, _WATCHDOG_S),
            simulated_time=bool(self.get_parameter("use_sim_time").value),
            black_box_ticks=given["black_box_ticks"],
        )
        outlet = Outlet(
            publish=lambda sink, message: self._commands[sink].publish(message),
            trace=self._send_trace,
            ros_now=lambda: self.get_clock().now().nanoseconds,
            say=self._say,
            faulted=self._on_fault,
            failed=self._on_failure,
        )
        runner = Runner(robot, loaded.policy, loaded.commander, rules, settings, outlet)
        runner.supervised.loop.target_return = given.target_return
        for line in loaded.limits.describe():
            self.get_logger().debug(f"limits: {line}")
        if (unlimited := loaded.limits.unlimited()) and not lockstep:
            self.get_logger().warning(f"no limit is set for {listed(unlimited)}")
        wishes = given.realtime
        for line in apply_to_process(wishes):
            self.get_logger().warning(line)

        def prepare() -> None:
            for line in apply_to_thread(wishes):
                self.get_logger().warning(line)

        self._broken, self._reported = None, 0
        self.runner = runner
        self._look_at_graph(runner)
        runner.start(robot.control_rate, inputs.latest, inputs.lock, prepare)
        return True

    def _stop_runner(self, reason: Reason) -> None:
        runner, self.runner = self.runner, None
        if runner is None:
            return
        runner.stop(reason)
        if self._given["freeze_gc"]:
            thaw_gc()
        if not runner.lockstep:
            self.get_logger().info(f"stopped: {runner.fault or reason.value}")
        for publisher in self._commands:
            publisher.wait_for_all_acked(Duration(seconds=_FLUSH_S))

    # What is asked of it

    def _on_set(self, inputs: InputSet, start: float) -> None:
        if self.runner is not None:
            self.runner.tick_set(inputs, start)

    def _check_parameter(self, name: str, value: Any) -> str:
        """Return why a new value is refused; empty: it is not. Loads another bundle."""
        if name == RUNTIME_IN_USE and self._loaded is not None:
            same = value == self._loaded.policy.runtime.describe()
            return "" if same else "runtime_in_use only tells; set runtime at the start"
        if name == "bundle" and self.state == "active":
            return "bundle: deactivate the node first"
        if name == "bundle" and self.state == "inactive":
            try:
                self._candidate = self._load_bundle(value)
            except LramError as error:
                return str(error)
        return ""

    def _on_parameter(self, name: str) -> None:
        if name == "target_return" and self.runner is not None:
            self.runner.supervised.loop.target_return = self._given.target_return
        if name == "bundle" and self._candidate is not None:
            loaded, self._candidate = self._candidate, None
            self._take(loaded)
            self.get_logger().info(f"bundle is now {loaded.bundle}")

    # What it tells

    def _send_trace(self, tick: Tick, publish_s: float, total_s: float) -> None:
        self._trace.publish(self._messages.trace(tick, publish_s, total_s))

    def _say(self, severity: str, text: str) -> None:
        if severity == "error":
            self.get_logger().error(text, throttle_duration_sec=_LOG_S)
        else:
            self.get_logger().warning(text)

    def _on_fault(self, fault: Fault) -> None:
        """From any thread: tell, and keep the ticks before it."""
        again = "" if fault.reason is Reason.RUNNER_FAILED else "; re-arm by the service ~/rearm"
        self.get_logger().error(f"stopped: {fault}{again}")
        if (runner := self.runner) is not None:
            recording = runner.notes.box.snapshot(str(fault), self._about())
            self._writer.submit(self._dump, recording)

    def _about(self) -> dict[str, str]:
        loaded = self._loaded
        if loaded is None:
            return {}
        return {"bundle": loaded.bundle, "runtime": loaded.policy.runtime.describe()}

    def _dump(self, recording: Recording) -> None:
        try:
            self.get_logger().info(f"black box: {recording.save(self._given.black_box)}")
        except Exception as error:  # a thread has nobody to raise to
            self.get_logger().error(str(error))

    def _on_failure(self, error: Exception) -> None:
        """From any thread: what ended the control loop."""
        self._broken = error
        if not self._managed:
            self.failure = error

    def _report(self) -> None:
        """Once a second on /diagnostics."""
        runner, name, loaded = self.runner, self.get_name(), self._loaded
        found = [runtime_status(name, self.state, loaded, self._given["device"])]
        if runner is not None:
            now = time.monotonic()
            loop, stages = runner.notes.loop.summary(now), runner.notes.stages.summary(now)
            found.append(loop_status(name, loop, stages, self._reported))
            found.append(safety_status(name, runner.mode, runner.fault, runner.waiting_for))
            self._reported = loop.missed + loop.late
        message = DiagnosticArray(status=found)
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    # What it looks at

    def _look(self) -> None:
        """Look at the graph, at sets that stay incomplete, at starts that do not come."""
        runner = self.runner
        if runner is None:
            return
        if self._broken is not None:
            if self._managed:
                self.trigger_deactivate()  # which ends in on_error
            return
        if self._inputs is not None:
            self._inputs.tell_incomplete()
        self._look_at_graph(runner)
        timeout = self._given["activation_timeout"]
        if found := runner.overdue(timeout):
            error = LramError(f"{self._robot.source}: not started within {timeout:g} s: {found}")
            if self._managed:
                self.get_logger().error(str(error))
                self.trigger_deactivate()
            else:
                self.failure = error

    def _look_at_graph(self, runner: Runner) -> None:
        if runner.lockstep:  # a simulator may be restarted at any time; everything waits for it
            return
        publishers = [self.count_publishers(command.topic_name) for command in self._commands]
        runner.command_publishers = max(publishers)
        inputs = {
            topic.topic: self.count_publishers(self.resolve_topic_name(topic.topic))
            for topic in self._robot.topics
        }
        runner.lost = tuple(topic for topic, count in inputs.items() if count == 0)
        runner.ambiguous = tuple(topic for topic, count in inputs.items() if count > 1)


def start(stop: StopRequest) -> PolicyNode:
    """Return a node: active, or waiting for a manager where ``autostart`` is false."""
    node = PolicyNode()
    node.stopped = lambda: bool(stop)
    if node.get_parameter("autostart").value:
        try:
            node.bring_up(node.stopped)
        except BaseException:
            node.destroy_node()
            raise
    return node


def main() -> None:
    """Run the node; exits with 0 after SIGINT or SIGTERM, with 2 if it refuses to start."""
    sys.exit(run_node(start))


if __name__ == "__main__":
    main()
