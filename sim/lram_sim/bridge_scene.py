"""What a viewer needs besides the sensors: frames, the robot's description, a camera's pictures."""

from __future__ import annotations

from array import array
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from lram_core.errors import CommandError
from lram_sim.bridge_episode import Snapshot, State
from lram_sim.bridge_messages import QOS
from lram_sim.suite import Suite, Task
from lram_sim.topics import WORLD
from lram_sim.video import Camera, probe

LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)
"""What a late viewer gets too."""


def publish_description(node: Node, suite: Suite) -> Any:
    """Publish ``robot_description`` once, for every late subscriber; None without a URDF."""
    text = suite.robot_description()
    if not text:
        return None
    publisher = node.create_publisher(String, "robot_description", LATCHED)
    publisher.publish(String(data=text))
    return publisher


class FramePublisher:
    """Publishes a task's frames: on /tf where tf2_msgs is installed, else one by one.

    ``transforms`` then carries a TransformStamped a frame, which Foxglove takes as it does /tf.
    """

    def __init__(self, node: Node) -> None:
        try:
            from tf2_msgs.msg import TFMessage
        except ModuleNotFoundError:
            self._message = None
            self._publisher = node.create_publisher(TransformStamped, "transforms", QOS)
        else:
            self._message = TFMessage
            self._publisher = node.create_publisher(TFMessage, "/tf", QOS)

    def show(self, task: Task, snapshot: Snapshot) -> None:
        """Publish the frames with the snapshot's stamp."""
        stamp = Time()
        stamp.sec, stamp.nanosec = divmod(snapshot.stamp, 1_000_000_000)
        frames = []
        for name, (position, orientation) in task.frames().items():
            frame = TransformStamped(child_frame_id=name)
            frame.header.stamp, frame.header.frame_id = stamp, WORLD
            place, turn = frame.transform.translation, frame.transform.rotation
            place.x, place.y, place.z = position.tolist()
            turn.x, turn.y, turn.z, turn.w = orientation.tolist()
            frames.append(frame)
        if self._message is not None:
            self._publisher.publish(self._message(transforms=frames))
        else:
            for frame in frames:
                self._publisher.publish(frame)


class CameraPublisher:
    """Draws one of the task's cameras and publishes ``<topic>/image_raw``.

    It is drawn on the thread that simulates. Where it cannot be drawn any more, there are no more
    pictures, and the robot goes on.

    Args:
        node: publishes, and logs.
        name: of the camera in the simulator.
        every: control ticks a picture.
        width, height: of the picture, in pixels.
        topic: what the pictures' topic begins with.

    Raises:
        CommandError: nothing can be rendered here.
    """

    def __init__(
        self, node: Node, name: str, every: int, width: int, height: int, topic: str = "camera"
    ) -> None:
        probe(width, height)
        self._node, self._name, self._every, self._size = node, name, every, (width, height)
        self._camera: Camera | None = None
        self._broken = False
        self._publisher = node.create_publisher(Image, f"{topic}/image_raw", QOS)

    def show(self, task: Task, snapshot: Snapshot) -> None:
        """Publish a picture if one is due, with the snapshot's stamp."""
        due = snapshot.tick % self._every == 0 or snapshot.state is not State.RUNNING
        if self._broken or not due:
            return
        try:
            if self._camera is not None and self._camera.model is not task.model:
                self.detach()
            if self._camera is None:
                self._camera = Camera(task.model, self._name, *self._size)
            picture = self._camera.render(task.data)
        except CommandError as error:
            self._broken = True
            self._node.get_logger().error(f"no more pictures: {error}")
            self.detach()
            return
        message = Image(height=self._size[1], width=self._size[0], encoding="rgb8")
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(
            snapshot.stamp, 1_000_000_000
        )
        message.header.frame_id = self._name
        message.step = 3 * self._size[0]
        message.data = array("B", picture.tobytes())
        self._publisher.publish(message)

    def detach(self) -> None:
        """Let go of the simulation; call it before that is closed."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
