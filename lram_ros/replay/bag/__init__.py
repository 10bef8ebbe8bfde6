"""A rosbag2 recording through a policy once more: its answers, and how far they are the recorded
commands."""
