"""The bridge node: turns a simulated task into a robot with ROS 2 topics. See docs/ros.md."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lram_core.errors import CommandError, LramError, one_line
from lram_core.signals import StopRequest, run_process
from lram_ros.msg import ActionCommand
from lram_ros.srv import ResetEpisode
from lram_sim.bridge_commands import CommandReader, subscribe_controllers, subscribe_stamped
from lram_sim.bridge_episode import Simulation, Snapshot, State
from lram_sim.bridge_messages import QOS, SnapshotPublisher
from lram_sim.bridge_pace import Command, Lockstep, Pace, RealTime
from lram_sim.bridge_scene import CameraPublisher, FramePublisher, publish_description
from lram_sim.cameras import View
from lram_sim.drawing import OFFSCREEN, VARIABLE, require_drawing
from lram_sim.drive import Targets
from lram_sim.suite import Suite
from lram_sim.suite_registry import get_suite
from lram_sim.video import EpisodeVideo

MODES = ("lockstep", "realtime")
PARAMETERS: dict[str, tuple[Any, str]] = {
    "suite": ("metaworld", "Task suite."),
    "mode": ("lockstep", "lockstep: a step a command; realtime: by the wall clock."),
    "video_path": ("", "MP4 of all episodes; empty: none."),
    "video_camera": ("", "Camera of the video; empty: the one the suite recommends."),
    "video_fps": (20.0, "Frames a second of the video."),
    "video_width": (480, "Width of the video in pixels."),
    "video_height": (360, "Height of the video in pixels."),
    "frames": (False, "Publish objects, hand and base as frames (TF)."),
    "camera": ("", "Camera to publish pictures of; empty: none."),
    "camera_rate": (5.0, "Pictures a second of simulation time."),
    "camera_width": (84, "Width of the pictures in pixels."),
    "camera_height": (84, "Height of the pictures in pixels."),
    "cameras": ("", "Cameras of a policy, NAME:WxH, comma-separated: a picture each a tick."),
}
"""Parameters: default and description."""
_IDLE_S = 0.25
_SPIN_S = 0.1
_LOG_S = 2.0


class BridgeNode(Node):
    """Publishes a simulated robot, executes commands, resets episodes.

    Attributes:
        failure: what broke the simulation, if anything did; the node is of no more use then.

    Raises:
        LramError: a parameter is wrong, the suite is unknown or not installed, or a video is
            asked for and nothing can be rendered or encoded here.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("sim_bridge", **options)
        self.failure: Exception | None = None
        values = {name: self._declare(name, *spec) for name, spec in PARAMETERS.items()}
        if values["mode"] not in MODES:
            raise CommandError(
                f"parameter mode: found '{values['mode']}', available: {', '.join(MODES)}"
            )
        cameras = tuple(View.parse(each) for each in values["cameras"].split(",") if each)
        if values["video_path"] or values["camera"] or cameras:
            # Read when MuJoCo is imported, which the suite does. Without pictures no GL is needed.
            os.environ.setdefault(VARIABLE, OFFSCREEN)
            require_drawing()
        suite = get_suite(values["suite"])
        self._video = _video(values, suite)
        self._publisher = SnapshotPublisher(self, suite)
        self._description = publish_description(self, suite)
        self._frames = FramePublisher(self) if values["frames"] else None
        self._cameras = [
            CameraPublisher(self, view.name, 1, view.width, view.height, view.field.name)
            for view in cameras
        ]
        if shown := _camera(self, values, suite.control_rate):
            self._cameras.append(shown)
        self._reader = CommandReader(suite.action_fields)
        self._simulation = Simulation(suite, self._detach_pictures)
        self._targets = Targets(suite.drive, suite.action_fields) if suite.drive else None
        self._pace = self._make_pace(values["mode"])
        self._skipped = 0
        self.create_subscription(ActionCommand, "command", self._on_command, QOS)
        if self._targets is not None and values["mode"] == "realtime":
            subscribe_controllers(self, self._targets)
        elif self._targets is not None and self._targets.drive.joints:
            subscribe_stamped(self, self._targets, self._on_complete)
        self.create_service(ResetEpisode, "reset_episode", self._on_reset)
        self.create_timer(_IDLE_S, self._idle, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._pace.start()  # last: nothing can fail any more that would leave its thread behind
        self.get_logger().info(
            f"ready: {suite.name} ({len(suite.tasks())} tasks), {values['mode']}, "
            f"{suite.control_rate:g} Hz"
        )

    def stop(self) -> None:
        """Stop the simulation, let the last messages out and finish the video."""
        try:
            self._pace.stop()
            if isinstance(self._pace, Lockstep):
                self._finish_video()
        except Exception as error:
            self._on_failure(error)
        self._publisher.flush()

    def _declare(self, name: str, default: Any, description: str) -> Any:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        try:
            return self.declare_parameter(name, default, descriptor).value
        except InvalidParameterTypeException as error:
            raise CommandError(f"parameter {name}: {error}") from None

    def _make_pace(self, mode: str) -> Pace:
        if mode == "lockstep":
            return Lockstep(self._simulation, self._show, self._targets)
        return RealTime(
            self._simulation, self._show, self._finish_video, self._on_failure, self._targets
        )

    def _show(self, snapshot: Snapshot) -> None:
        self._publisher.publish(snapshot)
        if snapshot.failure:
            self.get_logger().error(f"episode aborted: {snapshot.failure}")
        task = self._simulation.task
        if task is None:
            return
        if self._frames is not None:
            self._frames.show(task, snapshot)
        for camera in self._cameras:
            camera.show(task, snapshot)
        if self._video is not None:
            self._draw(task, snapshot)

    def _draw(self, task: Any, snapshot: Snapshot) -> None:
        title = (
            f"{snapshot.task}  seed {snapshot.seed}  t = {snapshot.tick / task.control_rate:.1f} s"
        )
        if snapshot.state is not State.RUNNING:
            title += f"  {snapshot.state.name.lower()}"
        try:
            assert self._video is not None
            self._video.show(
                task.model, task.data, snapshot.tick, title, snapshot.state is not State.RUNNING
            )
        except LramError as error:
            self._drop_video(error)

    def _drop_video(self, error: LramError) -> None:
        """Go on without a video: a robot is worth more than its pictures."""
        self.get_logger().error(f"no video: {error}")
        video, self._video = self._video, None
        if video is not None:
            video.discard()

    def _detach_pictures(self) -> None:
        if self._video is not None:
            self._video.detach()
        for camera in self._cameras:
            camera.detach()

    def _finish_video(self) -> None:
        if self._video is not None:
            try:
                self._video.close()
            except LramError as error:
                self._drop_video(error)

    def _on_command(self, message: Any) -> None:
        stamp = message.header.stamp
        try:
            action = self._reader.read(message)
            self._pace.command(
                Command(stamp.sec * 1_000_000_000 + stamp.nanosec, message.episode, action)
            )
        except LramError as error:
            self.get_logger().error(f"command ignored: {error}", throttle_duration_sec=_LOG_S)
        except Exception as error:
            self._on_failure(error)

    def _on_complete(self, stamp: int) -> None:
        assert isinstance(self._pace, Lockstep)
        try:
            self._pace.follow(stamp)
        except Exception as error:
            self._on_failure(error)

    def _on_reset(self, request: Any, response: Any) -> Any:
        try:
            snapshot = self._pace.reset(request.task, request.seed, request.max_steps)
        except LramError as error:
            self.get_logger().error(f"reset refused: {error}")
            response.success, response.message = False, str(error)
            return response
        except Exception as error:
            self._on_failure(error)
            response.success, response.message = False, f"the simulation failed: {error!r}"
            return response
        response.success, response.episode = True, snapshot.episode
        response.stamp.sec, response.stamp.nanosec = divmod(snapshot.stamp, 1_000_000_000)
        return response

    def _idle(self) -> None:
        try:
            self._pace.idle()
        except Exception as error:
            self._on_failure(error)
        if (skipped := self._pace.skipped) > self._skipped:
            self.get_logger().warning(
                f"too slow for real time: {skipped} control ticks left out so far",
                throttle_duration_sec=_LOG_S,
            )
            self._skipped = skipped

    def _on_failure(self, error: Exception) -> None:
        """Keep what broke the simulation; the process ends then. Called on any thread."""
        self.get_logger().debug("".join(traceback.format_exception(error)))
        if self.failure is None:
            self.failure = error
            self._publisher.abort()


def _video(values: dict[str, Any], suite: Suite) -> EpisodeVideo | None:
    if not values["video_path"]:
        return None
    video = EpisodeVideo(
        Path(values["video_path"]),
        suite.control_rate,
        fps=values["video_fps"],
        camera=values["video_camera"] or suite.camera,
        width=values["video_width"],
        height=values["video_height"],
    )
    video.probe()
    return video


def _camera(node: Node, values: dict[str, Any], rate: float) -> CameraPublisher | None:
    if not values["camera"]:
        return None
    if not 0 < values["camera_rate"] <= rate:
        raise CommandError(
            f"parameter camera_rate: above 0 and at most {rate:g}, found {values['camera_rate']:g}"
        )
    every = max(1, round(rate / values["camera_rate"]))
    return CameraPublisher(
        node, values["camera"], every, values["camera_width"], values["camera_height"]
    )


def _spin(node: Node, stopped: Callable[[], bool]) -> None:
    try:
        from rclpy.experimental import EventsExecutor as Executor
    except ImportError:  # rclpy before it had one
        Executor = SingleThreadedExecutor
    executor = Executor(context=node.context)
    executor.add_node(node)
    # Not spin(): EventsExecutor's does not return on a signal.
    while not stopped() and node.context.ok():
        executor.spin_once(timeout_sec=_SPIN_S)
    executor.remove_node(node)
    executor.shutdown()


def _body(stop: StopRequest) -> None:
    try:
        rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise CommandError(f"ROS arguments: {one_line(error)}") from None
    try:
        node = BridgeNode()
        try:
            _spin(node, lambda: bool(stop) or node.failure is not None)
        finally:
            node.stop()
            node.destroy_node()
        if node.failure is not None:
            raise CommandError(f"the simulation failed: {node.failure!r}") from node.failure
    finally:
        rclpy.try_shutdown()


def main() -> None:
    """Run the node; exits with 0 after SIGINT or SIGTERM, with 2 if it refuses to start."""
    sys.exit(run_process(_body))


if __name__ == "__main__":
    main()
