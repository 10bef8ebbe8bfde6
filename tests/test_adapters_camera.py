"""A camera as an input of the policy node: decoded off the control thread, refused when damaged."""

from __future__ import annotations

import pytest
import yaml
from adapter_rig import contract_data, policy, sink_data
from ros_graph import Peer, parameters
from sensor_msgs.msg import Image

from lram_core.contract import ObservationField
from lram_core.testing import random_bundle
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.policy_node import PolicyNode
from lram_ros.qos import data_qos

CAMERA = {
    "topic": "camera",
    "type": "sensor_msgs/msg/Image",
    "max_age": 10.0,
    "fields": {"view": {"height": 2, "width": 3}},
}


def picture(node, value, encoding="rgb8"):
    message = Image(height=4, width=6, encoding=encoding, step=18, data=bytes([value] * 72))
    message.header.stamp = node.get_clock().now().to_msg()
    return message


@pytest.fixture
def peer(ros_domain):
    with Peer("robot") as peer:
        yield peer


def test_policy_sees_the_newest_picture(peer, tmp_path):
    command = {"x": {"unit": "1", "low": -1.0, "high": 1.0}}
    data = contract_data(sink_data("native", command, topic="command"), inputs=[CAMERA])
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    view = (ObservationField("view", 18, "1"),)
    bundle = random_bundle(
        tmp_path / "bundle", policy("gripper", ["x"], "1", -1.0, 1.0, observation=view)
    )
    camera = peer.node.create_publisher(Image, "camera", data_qos())
    commands, traces = peer.listen(ActionCommand, "command"), peer.listen(PolicyTick, "policy/tick")
    node = PolicyNode(
        context=peer.context,
        parameter_overrides=parameters(
            bundle=str(bundle), contract=str(path), late_after=5.0, watchdog=9.0
        ),
    )
    peer.add(node)
    assert node.bring_up()
    try:
        peer.until(camera.get_subscription_count)
        camera.publish(picture(peer.node, 0, encoding="yuv422"))  # refused, and logged
        for value in (51, 204):
            camera.publish(picture(peer.node, value))
            peer.until(
                lambda v=value: traces and traces[-1].observation[0] == pytest.approx(v / 255)
            )
        assert len(traces[-1].observation) == 18
        assert commands
        assert node.failure is None
    finally:
        node.stop()
