"""Recordings of a lockstep simulation, message by message: what is lost, moved or said twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from arm_recording import write_bag
from hypothesis import given, settings
from hypothesis import strategies as st
from test_bag_export import made_up

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.data.importers.layout import Layout, SourceField
from lram_core.data.importers.source import ImportOptions, base_schema
from lram_core.data.schema import DatasetSchema
from lram_core.data.store import Dataset
from lram_core.errors import DataError
from lram_core.observation import ObservationAssembler
from lram_ros.bags.exporting import export_bag
from lram_ros.bags.importing import BagOptions, import_bags
from lram_ros.bags.recording import Bag
from lram_ros.robot_contract import RobotContract
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite

METAWORLD = RobotContract.load(Path(__file__).parents[1] / "config" / "metaworld.yaml")
SCHEMA = dataset_schema(get_suite("metaworld"))
LENGTHS = [6, 9]


@pytest.fixture
def data(tmp_path):
    return made_up(tmp_path / "set", SCHEMA, LENGTHS, seed=1)


def changed(data, path, change):
    """The bag of a dataset, its messages as ``change`` leaves them: (time, topic, message)."""
    whole = path.with_name("whole")
    export_bag(data, METAWORLD, whole)
    with Bag(whole) as bag:
        records = [(m.time, m.topic, bag.decode(m)) for m in bag.messages(list(bag.topics))]
        kinds = {name: about.type for name, about in bag.topics.items()}
    return write_bag(path, change(records), kinds=kinds)


def load(tmp_path, bag, **options):
    options = BagOptions(like=SCHEMA, **options)
    done = import_bags([bag], METAWORLD, tmp_path / "again", options)
    return Dataset.open(tmp_path / "again"), done.notes


def test_what_is_rewritten_unchanged_is_the_same(tmp_path, data):
    again, notes = load(tmp_path, changed(data, tmp_path / "bag", lambda records: records))
    np.testing.assert_array_equal(again.observations, data.observations)
    np.testing.assert_array_equal(again.actions, data.actions)
    assert notes == []


def test_sets_that_arrive_in_another_order(tmp_path, data):
    """The topics of a tick, and whole ticks, each a little before or after where they belong."""

    def shuffle(records):
        rng = np.random.default_rng(0)
        moved = [(t + int(rng.integers(0, 60_000_000)), n, m) for t, n, m in records]
        return sorted(moved, key=lambda record: record[0])

    again, _ = load(tmp_path, changed(data, tmp_path / "bag", shuffle))
    np.testing.assert_array_equal(again.observations, data.observations)
    np.testing.assert_array_equal(again.actions, data.actions)
    np.testing.assert_array_equal(again.rewards, data.rewards)


def test_sets_and_answers_that_are_repeated(tmp_path, data):
    """A bridge says a set again when no answer came; the answer is then the same."""

    def repeat(records):
        return [record for record in records for _ in range(2)]

    again, notes = load(tmp_path, changed(data, tmp_path / "bag", repeat))
    np.testing.assert_array_equal(again.actions, data.actions)
    assert again.column("length").tolist() == LENGTHS
    assert notes == []


def test_a_lost_message_cuts_its_episode(tmp_path, data):
    """Without one sensor of tick 4 there is no tick 4; what follows has another history."""

    def lose(records):
        goals = [record for record in records if record[1] == "/goal"]
        return [record for record in records if record is not goals[4]]

    bag = changed(data, tmp_path / "bag", lose)
    again, notes = load(tmp_path, bag, min_ticks=1)
    assert again.column("length").tolist() == [3, 1, 9]
    assert again.column("success").tolist() == [False, True, False]
    assert "ticks 4 to 4 of an episode are missing" in notes[0]
    np.testing.assert_array_equal(again.actions[:3], data.actions[:3])
    np.testing.assert_array_equal(again.actions[3], data.actions[5])
    width = SCHEMA.observation_size
    now, before = again.observations[3, :18], again.observations[3, 18:36]
    np.testing.assert_array_equal(now, before)  # as at an episode's start
    assert again.observations.shape[1] == width == 39


def test_a_lost_answer_leaves_its_tick_out(tmp_path, data):
    def lose(records):
        commands = [record for record in records if record[1] == "/command"]
        return [record for record in records if record is not commands[2]]

    again, notes = load(tmp_path, changed(data, tmp_path / "bag", lose))
    assert again.column("length").tolist() == [2, 3, 9]
    assert "1 ticks had no action" in notes[0]
    np.testing.assert_array_equal(again.actions[2:5], data.actions[3:6])
    np.testing.assert_array_equal(again.rewards[2:5], data.rewards[3:6])


def test_a_recording_that_ends_in_mid_episode(tmp_path, data):
    def end(records):
        status = [record for record in records if record[1] == "/episode"]
        return [record for record in records if record[0] <= status[4][0]]

    again, notes = load(tmp_path, changed(data, tmp_path / "bag", end))
    # The reward of the action at tick 4 would have come with tick 5.
    assert again.column("length").tolist() == [4]
    assert again.column("success").tolist() == [False]
    assert "1 ticks had no action" in notes[0]  # its answer came after the end, too


def test_two_answers_to_one_stamp(tmp_path, data):
    def answer_twice(records):
        made = []
        for number, (time, topic, message) in enumerate(records):
            made.append((time, topic, message))
            if topic == "/command" and number > 60:
                other = type(message)(**{**vars(message), "value": message.value + 0.5})
                made.append((time + 1, topic, other))
        return made

    bag = changed(data, tmp_path / "bag", answer_twice)
    with pytest.raises(DataError) as caught:
        load(tmp_path, bag)
    for word in (str(bag), "/command at ", "one stamp", "two publishers"):
        assert word in str(caught.value)
    assert not (tmp_path / "again").exists()


def test_a_simulator_that_was_started_again(tmp_path, data):
    """Its stamps begin anew: two recordings in one."""

    def restart(records):
        half = [record for record in records if record[1] == "/episode"][10][0]
        for time, _, message in records:
            if time > half and hasattr(message, "header"):
                message.header.stamp.sec -= 1
        return records

    bag = changed(data, tmp_path / "bag", restart)
    with pytest.raises(DataError) as caught:
        load(tmp_path, bag)
    for word in (str(bag), "clock jump: /", "its stamps go back by"):
        assert word in str(caught.value)


PICTURES = RobotContract.from_dict(
    {
        "format_version": 1,
        "robot": "eye", "gripper": "none", "control_rate": 20.0, "tick_source": "observation",
        "inputs": [
            {"topic": "camera", "type": "sensor_msgs/msg/Image", "max_age": 0.2,
             "fields": {"view": {"height": 4, "width": 5, "colour": "rgb"}}},
            {"topic": "thumb", "type": "sensor_msgs/msg/CompressedImage", "max_age": 0.2,
             "fields": {"thumb": {"height": 3, "width": 2, "colour": "mono"}}},
            {"topic": "joint_states", "type": "sensor_msgs/msg/JointState", "max_age": 0.2,
             "fields": {"angle": {"path": "position", "names": ["pan"], "unit": "deg"}}},
        ],
        "commands": [
            {"adapter": "forward_position", "topic": "pan/commands",
             "fields": {"pan": {"unit": "deg", "low": -90.0, "high": 90.0}}},
        ],
    },
    "eye.yaml",
)  # fmt: skip


def test_pictures_and_a_sink_without_stamps(tmp_path):
    """Pictures come back to the last bit of their bytes; answers are found by their time."""
    schema = DatasetSchema(
        "eye", "eye", "none", 20.0,
        (
            ObservationField("view", 60, "1"),
            ObservationField("thumb", 6, "1"),
            ObservationField("angle", 1, "rad"),
        ),
        (ActionField("pan", "rad", "joint_position", -1.0, 1.0),),
        RewardSpec("constant 0", 1.0), 20,
    )  # fmt: skip
    data = made_up(tmp_path / "set", schema, [7, 4], seed=3)
    export_bag(data, PICTURES, tmp_path / "bag")
    options = BagOptions(like=schema, cut="/lram/task")
    import_bags([tmp_path / "bag"], PICTURES, tmp_path / "again", options)
    again = Dataset.open(tmp_path / "again")
    assert again.column("length").tolist() == [7, 4]
    shown = np.rint(np.float64(data.observations[:, :66]) * 255) / 255
    np.testing.assert_array_equal(again.observations[:, :66], shown.astype(np.float32))
    np.testing.assert_allclose(again.observations[:, 66], data.observations[:, 66], rtol=1e-6)
    np.testing.assert_allclose(again.actions, data.actions, rtol=1e-6)


@given(
    delays=st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True),
    length=st.integers(1, 9),
)
@settings(max_examples=40, deadline=None)
def test_delays_are_filled_in_as_the_node_does_it(delays, length):
    rng = np.random.default_rng(0)
    source = [SourceField("b", 2), SourceField("unused", 1), SourceField("a", 3)]
    fields = tuple(ObservationField(name, size, "1", d) for d in delays for name, size in
                   (("a", 3), ("b", 2)))  # fmt: skip
    action = (ActionField("x", "1", "native", -1.0, 1.0),)
    found = base_schema(ImportOptions(), "s", "r", "g", 10.0, "none", "here")
    like = replace(found, observation=fields, action=action)
    layout = Layout("here", source, action, found, ImportOptions(like=like))
    values = rng.normal(size=(length, 6))
    assembler = ObservationAssembler(fields)
    expected = [assembler.assemble({"b": row[:2], "a": row[3:]}) for row in values]
    np.testing.assert_array_equal(layout.observations(values), np.stack(expected))
