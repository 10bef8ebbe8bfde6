"""A dataset written as a bag and imported again is the same dataset, on any robot contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import ContractError, DataError
from lram_ros.bags.exporting import CUT_TOPIC, export_bag
from lram_ros.bags.importing import BagOptions, import_bags
from lram_ros.robot_contract import RobotContract
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite

CONFIG = Path(__file__).parents[1] / "config"
UR_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow", "wrist_1", "wrist_2", "wrist_3")


def panda(kind: str) -> DatasetSchema:
    """Fields of config/panda_joint_position.yaml, one of them also as it was two ticks before."""
    size = 0.05
    limits = [(-size, size)] * 7 if kind == "joint_delta" else [(-1.0, 1.0)] * 7
    if kind == "joint_position":
        limits[3], limits[5] = (-2.0, -0.1), (0.1, 1.0)
    return DatasetSchema(
        "kitchen", "panda", "panda_hand", 20.0,
        (
            ObservationField("joint_position", 7, "rad"),
            ObservationField("joint_velocity", 7, "deg/s"),
            ObservationField("gripper_opening", 1, "1"),
            ObservationField("joint_position", 7, "rad", delay=2),
        ),
        (
            *(ActionField(f"joint_{i + 1}", "rad", kind, *limits[i]) for i in range(7)),
            ActionField("gripper", "1", "gripper", -1.0, 1.0),
        ),
        RewardSpec("constant 0", 1.0), 50,
    )  # fmt: skip


UR = DatasetSchema(
    "kitchen", "ur5e", "robotiq_2f85", 50.0,
    (
        ObservationField("joint_position", 6, "rad"),
        ObservationField("joint_velocity", 6, "rad/s"),
        ObservationField("tcp_position", 3, "m"),
        ObservationField("tcp_orientation", 4, "1"),
        ObservationField("wrist_force", 15, "N"),
        ObservationField("wrist_torque", 3, "N m"),
    ),
    (
        *(ActionField(joint, "rad/s", "joint_velocity", -1.0, 1.0) for joint in UR_JOINTS),
        ActionField("gripper", "1", "gripper", -1.0, 1.0),
    ),
    RewardSpec("constant 0", 1.0), 50,
)  # fmt: skip
ROBOTS = {
    "metaworld": (dataset_schema(get_suite("metaworld")), "metaworld"),
    "panda": (panda("joint_position"), "panda_joint_position"),
    "panda, deltas": (panda("joint_delta"), "panda_joint_position"),
    "ur5e": (UR, "ur5e_joint_velocity"),
}


def made_up(path: Path, schema: DatasetSchema, lengths: list[int], seed: int) -> Dataset:
    """A dataset of smooth random numbers whose delayed fields are what they say."""
    rng = np.random.default_rng(seed)
    with DatasetWriter(path, schema) as writer:
        for number, length in enumerate(lengths):
            walk = rng.uniform(-0.02, 0.02, (length, schema.observation_size)).cumsum(0)
            observations = (rng.uniform(0.2, 0.8, schema.observation_size) + walk).astype(
                np.float32
            )
            places, start = {}, 0
            for field in schema.observation:
                columns = slice(start, start + field.size)
                places[field.name, field.delay] = columns
                start += field.size
            if ("joint_position", 2) in places:  # a pose from which no delta meets a limit
                observations[:, places["joint_position", 0]] -= [0, 0, 0, 2.5, 0, -1, 0]
            for (name, delay), columns in places.items():
                late = np.maximum(np.arange(length) - delay, 0)
                observations[:, columns] = observations[late][:, places[name, 0]]
            low, high = (
                np.array([getattr(f, end) for f in schema.action]) for end in ("low", "high")
            )
            share = rng.uniform(0, 1, (length, schema.action_size))
            rewards = np.zeros(length)
            if schema.suite == "metaworld":
                rewards = rng.uniform(0, 10, length)
            writer.add(
                Episode(
                    observations=observations,
                    actions=(low + share * (high - low)).astype(np.float32),
                    rewards=rewards.astype(np.float32),
                    task=f"task {number % 2}",
                    seed=100 + number,
                    success=schema.suite == "metaworld" and number % 2 == 0,
                    noise=0.0,
                )
            )
        writer.finish({"command": "made up"})
    return Dataset.open(path)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("name", list(ROBOTS))
@given(lengths=st.lists(st.integers(2, 12), min_size=1, max_size=3), seed=st.integers(0, 99))
@settings(max_examples=4, deadline=None)
def test_round_trip(tmp_path_factory, name, storage, lengths, seed):
    tmp_path = tmp_path_factory.mktemp("trip")
    schema, contract = ROBOTS[name]
    robot = RobotContract.load(CONFIG / f"{contract}.yaml")
    data = made_up(tmp_path / "set", schema, lengths, seed)
    export_bag(data, robot, tmp_path / "bag", storage)
    announced = robot.episode is not None
    options = BagOptions(like=schema, cut="" if announced else CUT_TOPIC)
    done = import_bags([tmp_path / "bag"], robot, tmp_path / "again", options)
    assert done.notes == []
    again = Dataset.open(tmp_path / "again")
    assert again.schema == schema
    assert again.column("length").tolist() == lengths
    assert again.column("task").tolist() == data.column("task").tolist()
    # A change of units, or a delta, may round the last bit.
    close = 0.0 if name == "metaworld" else 1e-6
    for array in ("observations", "actions"):
        ours, theirs = getattr(again, array), getattr(data, array)
        np.testing.assert_allclose(ours, theirs, rtol=close, atol=close)
    np.testing.assert_array_equal(again.rewards, data.rewards)
    if announced:
        for column in ("seed", "success"):
            np.testing.assert_array_equal(again.column(column), data.column(column))


def test_what_others_read_in_it(tmp_path):
    """A reader that knows nothing but the file finds the numbers of the dataset."""
    robot = RobotContract.load(CONFIG / "panda_joint_position.yaml")
    data = made_up(tmp_path / "set", panda("joint_position"), [5], 3)
    export_bag(data, robot, tmp_path / "bag")
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        found = {}
        times = []
        for _, channel, message, decoded in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append(decoded)
            times.append(message.log_time)
    assert times == sorted(times)
    names = [*(f"panda_joint{i}" for i in range(1, 8)), "panda_finger_joint1"]
    states = found["/joint_states"]
    assert list(states[0].name) == names
    np.testing.assert_allclose(
        [s.position[:7] for s in states], data.observations[:, :7], rtol=1e-6
    )
    opening = [s.position[7] / 0.04 for s in states]
    np.testing.assert_allclose(opening, data.observations[:, 14], rtol=1e-6)
    commands = found["/joint_trajectory_controller/joint_trajectory"]
    np.testing.assert_allclose([c.points[0].positions for c in commands], data.actions[:, :7])
    assert [m.data for m in found[CUT_TOPIC]] == ["task 0", ""]


def test_what_does_not_fit_is_refused(tmp_path):
    data = made_up(tmp_path / "set", UR, [4], 0)
    robot = RobotContract.load(CONFIG / "panda_joint_position.yaml")
    with pytest.raises(ContractError, match="robot is 'panda', the bundle was trained on 'ur5e'"):
        export_bag(data, robot, tmp_path / "bag")
    robot = RobotContract.load(CONFIG / "ur5e_joint_velocity.yaml")
    with pytest.raises(DataError, match="no episode 7; there are 0 … 0"):
        export_bag(data, robot, tmp_path / "bag", episodes=[7])
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    export_bag(data, robot, tmp_path / "bag")
    with pytest.raises(DataError, match="is there already"):
        export_bag(data, robot, tmp_path / "bag")
