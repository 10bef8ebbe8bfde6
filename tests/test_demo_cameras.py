"""``lram demo`` with a policy that looks through cameras of the simulator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from bag_rig import read_traces
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from lram_core.testing import random_bundle
from lram_ros.paths import find_shared
from lram_ros.robot_contract import RobotContract
from lram_ros.simulated_cameras import bridge_cameras, contract_with, pictures
from lram_sim.cameras import Cameras
from lram_sim.metaworld import MetaworldSuite
from lram_sim.suite import dataset_schema

TICKS = 4
VIEWS = ("corner2:24x16", "topview:12x10")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cameras = Cameras.parse(VIEWS)
    assert cameras is not None
    schema = dataset_schema(cameras.suite(MetaworldSuite()))
    contract = schema.contract({"default": 1000.0}, context=50)
    return random_bundle(tmp_path_factory.mktemp("seeing") / "bundle", contract)


def test_it_sees_the_pictures_of_its_own_tick(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    words = ["demo", "--bundle", str(bundle), "--out", str(out), "--tasks", "reach-v3"]
    words += ["--episodes", "1", "--max-steps", str(TICKS), "--no-video", "--runtime", "torch"]
    done = subprocess.run(
        [sys.executable, "-m", "lram_core.cli", *words], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    robot = RobotContract.load(out / "contract.yaml")
    assert {"camera_corner2/image_raw", "camera_topview/image_raw"} <= {
        source.topic for source in robot.inputs
    }
    store = get_typestore(Stores.LATEST)
    seen: dict[str, dict[int, np.ndarray]] = {}
    with Reader(out / "bag") as bag:
        for connection, _, data in bag.messages():
            if connection.msgtype == "sensor_msgs/msg/Image":
                image = store.deserialize_cdr(data, connection.msgtype)
                stamp = image.header.stamp.sec * 10**9 + image.header.stamp.nanosec
                seen.setdefault(connection.topic, {})[stamp] = image.data.reshape(
                    image.height, image.width, 3
                )
    corner, top = seen["/camera_corner2/image_raw"], seen["/camera_topview/image_raw"]
    assert next(iter(corner.values())).shape == (16, 24, 3)
    assert next(iter(top.values())).shape == (10, 12, 3)
    assert len(corner) == len(top) == TICKS + 1  # and one of the last state
    ticks = read_traces(out / "bag")
    assert len(ticks) == TICKS
    for tick in ticks:
        stamp = tick.header.stamp.sec * 10**9 + tick.header.stamp.nanosec
        pixels = np.concatenate([corner[stamp].ravel(), top[stamp].ravel()]) / 255
        np.testing.assert_allclose(tick.observation[-len(pixels) :], pixels, atol=1e-6)
        assert pixels.std() > 0.01


def test_contract_with_the_cameras_of_a_policy(bundle: Path, tmp_path: Path) -> None:
    contract = yaml.safe_load((bundle / "policy.yaml").read_text())
    assert "camera_corner2" in str(contract)
    cameras = Cameras.parse(VIEWS)
    assert cameras is not None
    fields = pictures(cameras.suite(MetaworldSuite()).observation_fields)
    assert bridge_cameras(fields) == ",".join(VIEWS)
    path = contract_with(find_shared("config/metaworld.yaml"), fields, tmp_path / "robot.yaml")
    given, made = (RobotContract.load(p) for p in (find_shared("config/metaworld.yaml"), path))
    assert made.inputs[: len(given.inputs)] == given.inputs
    assert len(made.inputs) == len(given.inputs) + 2
