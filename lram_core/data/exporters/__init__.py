"""Datasets written in other formats. Free of ROS; bags are written by lram_ros.bags."""
