"""Replay: what a policy would have done with inputs that were recorded. Free of rclpy."""
