"""The policy node: subscribes to what a robot contract names, drives with a policy bundle.

A lifecycle node. configure loads, checks and warms up; activate starts the ticks; deactivate,
error and shutdown stop them and send the safe command last. See docs/ros.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from lram_core.errors import LramError, listed, one_line
from lram_core.policy import Policy
from lram_core.signals import StopRequest
from lram_ros.assembly import InputSet
from lram_ros.live_check import wait_for_topics
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.policy_parameters import RUNTIME_IN_USE, PolicyParameters
from lram_ros.policy_reports import PolicyReports
from lram_ros.policy_services import PolicyServices
from lram_ros.process import declare, run_node
from lram_ros.realtime import apply_to_process, apply_to_thread, thaw_gc
from lram_ros.robot_contract import RobotContract
from lram_ros.robot_link import RobotLink
from lram_ros.runner import Runner
from lram_ros.safety import Reason
from lram_ros.supervised_loop import Outlet

_LOOK_S = 0.05  # a stop because of the graph is to take no longer than one by the watchdog
_REPORT_S = 1.0
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
        self._link: RobotLink | None = None
        # These stay over all transitions, some of which they start.
        self._reports = PolicyReports(self, self._given)
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
        self._stop_runner(Reason.RUNNER_FAILED)  # one that began and got no further
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
        self._reports.close()
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
                self.get_logger().error(one_line(error))
            return False

    # Configure

    def _configure(self) -> bool:
        given = self._given
        given.check()
        robot = self._robot = RobotContract.load(given.contract)
        loaded = self._load_bundle(given["bundle"])
        link = self._link = RobotLink(self, robot, loaded.commander)
        self._use(loaded, link)
        if not wait_for_topics(self, robot, given["topic_timeout"], self.stopped):
            return False
        link.listen(self._on_set)
        PolicyServices(self, given["stop_topic"], lambda: self.runner, link.keep)
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

    def _use(self, loaded: LoadedPolicy, link: RobotLink) -> None:
        """Drive with what was loaded from now on."""
        self._loaded = loaded
        link.take(loaded.policy.contract)
        if self.has_parameter(RUNTIME_IN_USE):
            self.undeclare_parameter(RUNTIME_IN_USE)
        in_use = loaded.policy.runtime.describe()
        # Not read-only for ROS: such a parameter cannot be told anew.
        declare(self, RUNTIME_IN_USE, in_use, "What runs the model, and where.", read_only=False)

    def _tear_down(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        self._loaded = self._candidate = None

    # Activate and deactivate

    def _activate(self) -> bool:
        given, robot, loaded, link = self._given, self._robot, self._loaded, self._link
        assert loaded is not None
        assert link is not None
        assert link.inputs is not None
        rules = given.rules(loaded.limits, robot.lockstep)
        settings = given.runner_settings(robot.control_rate)
        outlet = Outlet(
            publish=link.send,
            trace=link.send_trace,
            ros_now=lambda: self.get_clock().now().nanoseconds,
            say=self._reports.say,
            faulted=lambda fault: self._reports.fault(fault, self._loaded, self.runner),
            failed=self._on_failure,
        )
        runner = Runner(robot, loaded.policy, loaded.commander, rules, settings, outlet)
        runner.supervised.loop.target_return = given.target_return
        for line in loaded.limits.describe():
            self.get_logger().debug(f"limits: {line}")
        if (unlimited := loaded.limits.unlimited()) and not robot.lockstep:
            self.get_logger().warning(f"no limit is set for {listed(unlimited)}")
        wishes = given.realtime
        for line in apply_to_process(wishes):
            self.get_logger().warning(line)

        def prepare() -> None:
            for line in apply_to_thread(wishes):
                self.get_logger().warning(line)

        self._broken = None
        self._reports.begin()
        self.runner = runner
        link.look_at_graph(runner)
        runner.start(robot.control_rate, link.inputs.latest, link.inputs.lock, prepare)
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
        if self._link is not None:
            self._link.flush()

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
        if name == "bundle" and self._candidate is not None and self._link is not None:
            loaded, self._candidate = self._candidate, None
            self._use(loaded, self._link)
            self.get_logger().info(f"bundle is now {loaded.bundle}")

    def _on_failure(self, error: Exception) -> None:
        """From any thread: what ended the control loop."""
        self._broken = error
        if not self._managed:
            self.failure = error

    def _report(self) -> None:
        """Once a second on /diagnostics."""
        self._reports.status(self.state, self._loaded, self.runner)

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
        if self._link is not None and self._link.inputs is not None:
            self._link.inputs.tell_incomplete()
            self._link.look_at_graph(runner)
        timeout = self._given["activation_timeout"]
        if found := runner.overdue(timeout):
            error = LramError(f"{self._robot.source}: not started within {timeout:g} s: {found}")
            if self._managed:
                self.get_logger().error(str(error))
                self.trigger_deactivate()
            else:
                self.failure = error


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
