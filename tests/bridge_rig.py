"""A bridge process with a node that listens and commands."""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped

from lram_ros.msg import ActionCommand, EpisodeStatus
from lram_ros.qos import data_qos
from lram_ros.srv import ResetEpisode

NAMES = ["ee_dx", "ee_dy", "ee_dz", "gripper"]


class Bridge:
    """A bridge process with a peer that listens and can command."""

    def __init__(self, start, peer, module="lram_sim.bridge_node", **values):
        self.peer = peer
        self.process = start(module, **values)
        self.statuses = peer.listen(EpisodeStatus, "episode")
        self.poses = peer.listen(PoseStamped, "end_effector/pose")
        self.publisher = peer.node.create_publisher(ActionCommand, "command", data_qos())
        self.process.wait_for("ready")
        peer.until(lambda: peer.node.count_publishers("episode"))
        peer.until(lambda: self.publisher.get_subscription_count())

    def reset(self, task="reach-v3", seed=1, max_steps=0):
        return self.peer.call(
            ResetEpisode, "reset_episode", task=task, seed=seed, max_steps=max_steps
        )

    def command(self, status, value=(0.5, 0.0, 0.0, 0.0), names=NAMES):
        message = ActionCommand(name=names, value=list(value), episode=status.episode)
        message.header.stamp = status.header.stamp
        self.publisher.publish(message)

    def wait_tick(self, tick, episode):
        def there():
            newest = self.statuses[-1] if self.statuses else None
            return newest and newest.episode == episode and newest.tick >= tick

        self.peer.until(there)
        return self.statuses[-1]

    def drive(self, ticks, episode=1):
        """Answer every status up to tick ``ticks``."""
        for tick in range(ticks):
            self.command(self.wait_tick(tick, episode))
        return self.wait_tick(ticks, episode)
