"""Opens an exported data set with the ``lerobot`` library: python check_export.py FOLDER"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

# See make.py.
torch.library.define("torchvision::nms", "(Tensor a, Tensor b, float c) -> Tensor")

from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402


def main(folder: Path) -> None:
    dataset = LeRobotDataset("local/export", root=folder)
    index = pq.read_table(folder / "meta" / "lram_episodes.parquet").to_pylist()
    assert dataset.num_episodes == len(index)
    assert len(dataset) == sum(row["length"] for row in index)
    for number, row in enumerate(index):
        frames = [dataset[i] for i in range(row["start"], row["start"] + row["length"])]
        assert {frame["task"] for frame in frames} == {row["task"]}
        assert [int(frame["frame_index"]) for frame in frames] == list(range(row["length"]))
        assert all(int(frame["episode_index"]) == number for frame in frames)
        assert bool(frames[-1]["next.success"]) == row["success"]
        assert all(np.isfinite(frame["action"].numpy()).all() for frame in frames)
    period = 1.0 / dataset.fps
    windows = LeRobotDataset(
        "local/export",
        root=folder,
        delta_timestamps={"observation.state": [-period, 0.0], "action": [0.0, period]},
    )
    assert windows[0]["action"].shape[0] == windows[0]["observation.state"].shape[0] == 2
    print(f"{folder}: {dataset.num_episodes} episodes, {len(dataset)} frames, as written")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
