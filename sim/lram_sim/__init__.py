"""Simulated robots: task suites, scripted experts, collection, rollouts and the ROS 2 bridge.

Only ``bridge_*`` modules import ROS; everything else needs a simulator and ``lram_core`` alone.
"""
