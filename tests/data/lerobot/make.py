"""Writes the data set ``two_tasks`` beside this file with the ``lerobot`` library: README.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

# The library imports torchvision for its videos; there are none here, and an operator that a
# torchvision of another build lacks does not matter.
torch.library.define("torchvision::nms", "(Tensor a, Tensor b, float c) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

FEATURES = {
    "observation.state": {
        "dtype": "float32",
        "shape": (3,),
        "names": ["shoulder.pos", "elbow.pos", "gripper.pos"],
    },
    "observation.environment_state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
    "action": {
        "dtype": "float32",
        "shape": (3,),
        "names": ["shoulder.pos", "elbow.pos", "gripper.pos"],
    },
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
}
LENGTHS = (7, 4, 9, 5)
TASKS = ("pick up the cube", "open the drawer")


def values(episode: int, tick: int) -> dict[str, np.ndarray]:
    """What the data set holds at one tick; the test computes the same."""
    state = np.array([0.1 * tick, -0.2 * tick + episode, tick / 3], dtype=np.float32)
    return {
        "observation.state": state,
        "observation.environment_state": np.array([episode, 1 / (tick + 1)], dtype=np.float32),
        "action": state + np.float32(0.05),
        "next.reward": np.array([0.25 * tick], dtype=np.float32),
        "next.success": np.array([tick == LENGTHS[episode] - 1 and episode != 1]),
    }


def main() -> None:
    root = Path(__file__).with_name("two_tasks")
    shutil.rmtree(root, ignore_errors=True)
    dataset = LeRobotDataset.create(
        "local/two_tasks",
        fps=20,
        features=FEATURES,
        root=root,
        robot_type="so101",
        use_videos=False,
    )
    # Limits so small that every episode gets a file of its own: several files are the rule.
    dataset.meta.update_chunk_settings(chunks_size=2, data_files_size_in_mb=0.001)
    for episode, length in enumerate(LENGTHS):
        for tick in range(length):
            dataset.add_frame({**values(episode, tick), "task": TASKS[episode % 2]})
        dataset.save_episode()
    dataset.finalize()


if __name__ == "__main__":
    main()
