"""rosbag2 recordings and datasets: read through a robot contract, and written."""
