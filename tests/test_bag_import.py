"""Recordings of a clocked robot become datasets: resampled, cut, labelled."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from arm_recording import (
    COMMANDS,
    CONTRACT,
    DISTANCE,
    JOINTS,
    KINDS,
    SECOND,
    START,
    expected,
    recording,
    write_bag,
)
from bag_import_rig import load, ticks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap_ros2.writer import Writer as FoxgloveWriter
from rclpy.qos import qos_profile_system_default
from rclpy.service_introspection import ServiceIntrospectionState
from ros_graph import Peer
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Empty, Float64, String
from std_srvs.srv import Trigger

from lram_core.contract import pictures
from lram_ros.bag_types import BagTypes
from lram_ros.robot_contract import RobotContract

STRING, BOOL, EMPTY = (f"std_msgs/msg/{name}" for name in ("String", "Bool", "Empty"))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_topics_of_three_rates_become_ticks_of_one(tmp_path, storage):
    records = recording(2.0)
    data, notes = load(tmp_path, write_bag(tmp_path / "bag", records, storage))
    observations, actions = expected(records, ticks_of(20))
    assert len(data) == 1
    np.testing.assert_array_equal(data.observations, observations)
    np.testing.assert_array_equal(data.actions, actions)
    assert data.rewards.tolist() == [0.0] * 20
    assert notes == []
    assert [f.name for f in data.schema.observation] == ["joint_position", "distance"]
    assert [(f.name, f.kind, f.unit) for f in data.schema.action] == [
        ("shoulder", "joint_position", "rad"),
        ("elbow", "joint_position", "rad"),
    ]
    row = data.episodes.to_pylist()[0]
    assert row["task"] == "recorded"
    assert row["source"] == f"{tmp_path / 'bag'} at 0.000 s"


def test_a_camera_becomes_a_picture_that_training_sees_as_one(tmp_path):
    kind = "sensor_msgs/msg/Image"
    camera = {"topic": "camera", "type": kind, "max_age": 0.5}
    camera["fields"] = {"view": {"height": 8, "width": 10}}
    robot = RobotContract.from_dict({**CONTRACT, "inputs": [*CONTRACT["inputs"], camera]}, "arm")
    records = recording(1.0)
    for tick in range(10):
        pixels = bytes([20 * tick]) * (8 * 10 * 3)
        shot = Image(height=8, width=10, encoding="rgb8", step=30, data=pixels)
        shot.header.stamp.sec = START // SECOND
        shot.header.stamp.nanosec = tick * SECOND // 10
        records.append((START + tick * SECOND // 10, "/camera", shot))
    records.sort(key=lambda record: record[0])
    bag = write_bag(tmp_path / "bag", records, kinds={"/camera": kind})
    data, _ = load(tmp_path, bag, robot)
    view = data.schema.observation[-1]
    assert (view.name, view.size, view.picture) == ("view", 240, (8, 10, 3))
    assert pictures(data.schema.observation) == ((3, 8, 10, 3),)
    assert len(data.observations) > 5
    for row in data.observations:
        assert 255 * row[3] / 20 == pytest.approx(round(255 * row[3] / 20), abs=1e-3)
        np.testing.assert_array_equal(row[3:], row[3])


def test_a_file_of_another_writer(tmp_path):
    """Foxglove's library writes the file; there is no metadata.yaml."""
    file = tmp_path / "flight.mcap"
    records, types = recording(1.0), BagTypes()
    with file.open("wb") as stream:
        writer = FoxgloveWriter(stream)
        schemas = {t: writer.register_msgdef(k, types.definition(k)[0]) for t, k in KINDS.items()}
        for number, (time, topic, message) in enumerate(records):
            writer.write_message(topic, schemas[topic], plain(message), time, time, number)
        writer.finish()
    data, _ = load(tmp_path, file)
    observations, actions = expected(records, ticks_of(10))
    np.testing.assert_array_equal(data.observations, observations)
    np.testing.assert_array_equal(data.actions, actions)


def plain(message):
    """A message as dictionaries and lists, as that library takes it."""
    if not hasattr(message, "get_fields_and_field_types"):
        return list(message) if not isinstance(message, (str, int, float, bool)) else message
    names = message.get_fields_and_field_types()
    return {name: plain(getattr(message, name)) for name in names}


def test_both_ways_to_the_same_layout(tmp_path):
    """A schema with a delayed field and other units is filled by name."""
    robot = RobotContract.from_dict(
        {**CONTRACT, "inputs": CONTRACT["inputs"][:1]}, "joints_only.yaml"
    )
    bag = write_bag(tmp_path / "bag", recording(1.0))
    plainly, _ = load(tmp_path, bag, robot)
    from dataclasses import replace

    from lram_core.contract import ObservationField

    degrees = replace(
        plainly.schema,
        observation=(
            ObservationField("joint_position", 2, "deg", delay=3),
            ObservationField("joint_position", 2, "deg"),
        ),
    )
    values = np.rad2deg(np.array(plainly.observations, np.float64))
    data, _ = load(tmp_path, bag, robot, like=degrees)
    np.testing.assert_allclose(data.observations[:, 2:], values, rtol=1e-6)
    late = values[np.maximum(np.arange(10) - 3, 0)]
    np.testing.assert_allclose(data.observations[:, :2], late, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "marks", "episodes"),
    [
        (BOOL, [(0.35, Bool(data=True)), (0.85, Bool(data=False)), (1.35, Bool(data=True))],
         [("recorded", 4, 5), ("recorded", 14, 6)]),
        (STRING, [(0.35, String(data="pour")), (0.85, String(data="stir")), (1.35, String())],
         [("pour", 4, 5), ("stir", 9, 5)]),
        (EMPTY, [(0.35, Empty()), (1.35, Empty())], [("recorded", 4, 10), ("recorded", 14, 6)]),
    ],
)  # fmt: skip
def test_episodes_are_cut_by_a_topic(tmp_path, kind, marks, episodes):
    records = [*recording(2.0), *((START + int(t * SECOND), "/marks", m) for t, m in marks)]
    records.sort(key=lambda record: record[0])
    bag = write_bag(tmp_path / "bag", records, kinds={"/marks": kind})
    data, _ = load(tmp_path, bag, cut="marks")
    whole = expected(records, ticks_of(20))[0]
    found = data.episodes.to_pylist()
    assert [(row["task"], row["length"]) for row in found] == [(t, n) for t, _, n in episodes]
    for row, (_, first, count) in zip(found, episodes, strict=True):
        part = data.observations[row["start"] : row["start"] + row["length"]]
        np.testing.assert_array_equal(part, whole[first : first + count])


def service_events():
    """What introspection publishes of one call, as it is on the wire: four messages."""
    with Peer() as peer:
        found = []
        qos, all_of_it = 10, ServiceIntrospectionState.METADATA
        peer.node.create_subscription(
            Trigger.Event,
            "reset/_service_event",
            lambda data: found.append(bytes(data)),
            qos,
            raw=True,
        )
        service = peer.node.create_service(Trigger, "reset", lambda request, answer: answer)
        client = peer.node.create_client(Trigger, "reset")
        for side in (service, client):
            side.configure_introspection(
                peer.node.get_clock(), qos_profile_system_default, all_of_it
            )
        peer.until(client.service_is_ready)
        client.call_async(Trigger.Request())
        peer.until(lambda: len(found) == 4)
    return sorted(found, key=lambda data: data[4])


@pytest.mark.parametrize("recorded", [(0, 1, 2, 3), (1, 2), (0, 3)])
def test_episodes_are_cut_by_calls_of_a_service(ros_domain, tmp_path, recorded):
    """Of both sides, of the service's, of the client's: each call cuts once."""
    events = service_events()
    bag = write_bag(tmp_path / "bag", recording(2.0), "sqlite3")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute(
            "INSERT INTO topics VALUES (9, '/reset/_service_event', 'std_srvs/srv/Trigger_Event', "
            "'cdr', '', '')"
        )
        database.execute("UPDATE messages SET id = -id * 10")
        database.execute("UPDATE messages SET id = -id")
        place = "(SELECT max(id) + 1 FROM messages WHERE timestamp <= ?)"
        for seconds in (0.35, 0.95):
            for number in recorded:
                time = START + int(seconds * SECOND) + number
                values = (time, time, events[number])
                database.execute(f"INSERT INTO messages VALUES ({place}, 9, ?, ?)", values)
    data, _ = load(tmp_path, bag / "bag.db3", cut="reset")
    assert data.column("length").tolist() == [6, 10]


def test_a_gap_cuts_and_a_short_one_need_not(tmp_path):
    records = [
        r for r in recording(2.0)
        if r[1] != JOINTS or not 0.5 < (r[0] - START) / SECOND < 0.95
    ]  # fmt: skip
    bag = write_bag(tmp_path / "bag", records)
    data, notes = load(tmp_path, bag)
    # 0.50 s is the last reading: ticks up to 0.6 s are young enough, those from 1.0 s on again.
    assert data.column("length").tolist() == [7, 10]
    assert len(notes) == 1
    for word in (str(bag), "joint_states", "0.700 s", "3 ticks", "at most 0.15"):
        assert word in notes[0]
    data, notes = load(tmp_path, bag, max_gap=0.5)
    assert data.column("length").tolist() == [20]
    assert notes == []


def test_commands_that_stop_end_the_episode(tmp_path):
    records = [
        r for r in recording(2.0) if r[1] != COMMANDS or (r[0] - START) / SECOND < 1.0
    ]  # fmt: skip
    bag = write_bag(tmp_path / "bag", records)
    data, notes = load(tmp_path, bag, hold=0.2)
    # The last command came at 0.965 s; at 1.1 s it is 0.135 s old, at 1.2 s too old.
    assert data.column("length").tolist() == [12]
    assert "8 ticks had no action" in notes[0]
    data, _ = load(tmp_path, bag, hold=5.0)
    assert data.column("length").tolist() == [20]


def test_actions_from_the_next_joint_position(tmp_path):
    records = [record for record in recording(2.0) if record[1] != COMMANDS]
    data, _ = load(tmp_path, write_bag(tmp_path / "bag", records), actions="next-position")
    positions = expected(recording(2.0), ticks_of(20))[0][:, :2]
    np.testing.assert_array_equal(data.actions, positions[1:])
    np.testing.assert_array_equal(data.observations[:, :2], positions[:-1])


@given(st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_messages_out_of_order_are_put_in_order(tmp_path_factory, storage, random):
    """Whatever was written a little too late comes out where its record time says."""
    tmp_path = tmp_path_factory.mktemp("shuffled")
    records = recording(1.0)
    shuffled = sorted(records, key=lambda r: r[0] + random.uniform(0, 0.2) * SECOND)
    data, notes = load(tmp_path, write_bag(tmp_path / "bag", shuffled, storage))
    observations, actions = expected(records, ticks_of(10))
    np.testing.assert_array_equal(data.observations, observations)
    np.testing.assert_array_equal(data.actions, actions)
    times = [record[0] for record in shuffled]
    assert times == sorted(times) or "recorded out of order" in notes[0]


def test_an_older_reading_does_not_replace_a_newer_one(tmp_path):
    records = recording(1.0)
    late = [r for r in records if r[1] == JOINTS][10]
    late[2].position[:] = late[2].position  # the reading of 0.2 s …
    records = [(START + 299_000_000, *late[1:]) if r is late else r for r in records]
    records.sort(key=lambda record: record[0])  # … arrives after that of 0.28 s
    data, notes = load(tmp_path, write_bag(tmp_path / "bag", records))
    assert data.observations[2, 0] == np.float32(0.9)  # of 0.18 s, the newest there was
    assert data.observations[3, 0] == np.float32(1.5)
    assert any("1 readings came after newer ones" in note for note in notes)


def test_one_reading_is_a_number(tmp_path):
    """The rig's own check: a message that is written is the one that is read."""
    bag = write_bag(tmp_path / "bag", [(START, DISTANCE, Float64(data=0.1))])
    from lram_ros.bags.recording import Bag

    with Bag(bag) as opened:
        (message,) = opened.messages([DISTANCE])
        assert opened.decode(message).data == 0.1
