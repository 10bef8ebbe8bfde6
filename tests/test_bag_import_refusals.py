"""Recordings that are bad, cut short or of another robot are refused, and leave nothing."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from arm_recording import (
    COMMANDS,
    DISTANCE,
    JOINTS,
    SECOND,
    START,
    arm,
    expected,
    recording,
    write_bag,
)
from bag_import_rig import load, refused, ticks_of
from hypothesis import given, settings
from hypothesis import strategies as st
from std_msgs.msg import String

from lram_core.data.store import Dataset
from lram_core.errors import ContractError, DataError, LramError
from lram_ros.bags.importing import BagOptions, import_bags

STRING = "std_msgs/msg/String"


def test_a_missing_topic(tmp_path):
    records = [record for record in recording() if record[1] != DISTANCE]
    bag = write_bag(tmp_path / "bag", records)
    text = refused(tmp_path, bag)
    for word in (str(bag), DISTANCE, "2023-11-14", "arm.yaml", JOINTS, COMMANDS):
        assert word in text


def test_another_type(tmp_path):
    records = [
        (t, n, String(data="far")) if n == DISTANCE else (t, n, m) for t, n, m in recording()
    ]
    text = refused(tmp_path, write_bag(tmp_path / "bag", records, kinds={DISTANCE: STRING}))
    for word in ("/distance is std_msgs/msg/String", "0.000 s", "std_msgs/msg/Float64"):
        assert word in text


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_another_definition(tmp_path, storage):
    def change(topic, definition):
        return definition.replace("float64 data", "float64 metres", 1)

    bag = write_bag(tmp_path / "bag", recording(), storage, change=change)
    text = refused(tmp_path, bag)
    for word in (str(bag), DISTANCE, "0.000 s", "float64 metres instead of float64 data"):
        assert word in text


def test_a_file_that_was_cut(tmp_path):
    bag = write_bag(tmp_path / "bag", recording(2.0))
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    text = refused(tmp_path, bag)
    for word in (str(file), "cut short", "last whole message is /", " s (2023-11-14", "--rec"):
        assert word in text
    data, notes = load(tmp_path, bag, recover=True)
    observations = expected(recording(2.0), ticks_of(data.steps))[0]
    assert 2 < data.steps < 20
    np.testing.assert_array_equal(data.observations, observations)
    assert any("cut short" in note for note in notes)


def test_a_database_that_was_cut(tmp_path):
    bag = write_bag(tmp_path / "bag", recording(20.0), "sqlite3")
    file = bag / "bag.db3"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    text = refused(tmp_path, bag)
    assert "bag.db3" in text or str(bag) in text
    assert "damaged" in text or "not a readable bag" in text


def test_no_bag(tmp_path):
    assert "no such bag" in refused(tmp_path, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no bag here" in refused(tmp_path, tmp_path / "empty")
    (tmp_path / "text.mcap").write_text("not a recording")
    assert "text.mcap: cut before its first" in refused(tmp_path, tmp_path / "text.mcap")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_recorders_clock_goes_back(tmp_path, storage):
    records = recording(2.0)
    half = len(records) // 2
    records[half:] = [(time - 5 * SECOND, n, m) for time, n, m in records[half:]]
    bag = write_bag(tmp_path / "bag", records, storage)
    text = refused(tmp_path, bag)
    for word in (str(bag), "clock jump: /", " s (2023-11-14", "went back by"):
        assert word in text


@pytest.mark.parametrize(("jump", "said"), [(-30, "go back by 29.980 s"), (30, "+30.000 s")])
def test_the_stamps_jump(tmp_path, jump, said):
    records = recording(2.0)
    for time, _, message in records:
        if time >= START + SECOND and hasattr(message, "header"):
            message.header.stamp.sec += jump
    bag = write_bag(tmp_path / "bag", records)
    text = refused(tmp_path, bag)
    for word in (str(bag), "clock jump: /joint_states", "1.000 s", said):
        assert word in text


def test_stamps_of_no_clock(tmp_path):
    records = recording(1.0)
    for _, _, message in records:
        if hasattr(message, "header"):
            message.header.stamp.sec = 0
    text = refused(tmp_path, write_bag(tmp_path / "bag", records))
    for word in (JOINTS, "not of the recorder's clock", "/clock"):
        assert word in text


def test_two_publishers(tmp_path):
    text = refused(tmp_path, write_bag(tmp_path / "bag", recording(), publishers=2))
    for word in (COMMANDS, "0.005 s", "2 publishers"):
        assert word in text


def test_another_robot(tmp_path):
    """Its joints have other names; the contract fits no reading."""
    records = recording(1.0)
    for _, _, message in records:
        if hasattr(message, "header"):
            message.name = ["left", "other", "right"]
    bag = write_bag(tmp_path / "bag", records)
    text = refused(tmp_path, bag)
    for word in (str(bag), "0.000 s", "joint_states", "no a, b", "left, other, right"):
        assert word in text


def test_a_schema_of_another_robot(tmp_path):
    from dataclasses import replace

    bag = write_bag(tmp_path / "bag", recording(1.0))
    schema = load(tmp_path, bag)[0].schema
    shutil.rmtree(tmp_path / "set")
    other = replace(schema, robot="six_joint_arm", control_rate=50.0)
    text = refused(tmp_path, bag, kind=ContractError, like=other)
    assert "robot is 'two_joint_arm', the bundle was trained on 'six_joint_arm'" in text


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    records = recording(1.0)
    for time, topic, message in records:
        if topic == DISTANCE and time == START + 2 * SECOND // 5:
            message.data = float("nan")
    bag = write_bag(tmp_path / "bag", records)
    data, notes = load(tmp_path, bag)
    assert data.column("length").tolist() == [4, 4]
    assert "0.400 s" in notes[0]
    assert "not finite" in notes[0]


def test_a_topic_that_cuts_nothing(tmp_path):
    bag = write_bag(tmp_path / "bag", recording(1.0))
    assert "std_msgs/msg/Bool" in refused(tmp_path, bag, cut="distance")
    assert "neither a topic /start nor" in refused(tmp_path, bag, cut="start")


def test_nothing_of_several_bags_when_one_is_bad(tmp_path):
    good = write_bag(tmp_path / "good", recording(1.0))
    records = [record for record in recording(1.0) if record[1] != DISTANCE]
    bad = write_bag(tmp_path / "bad", records)
    with pytest.raises(DataError, match="bad"):
        import_bags([good, bad], arm(), tmp_path / "set")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "good"]


def test_an_interruption_leaves_nothing(tmp_path):
    bag = write_bag(tmp_path / "bag", recording(1.0))

    def interrupt(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_bags([bag], arm(), tmp_path / "set", advance=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_is_damaged_is_imported_or_refused(tmp_path_factory, storage, data):
    """Bytes of the file or its description that are cut off or other ones: never a traceback."""
    tmp_path = tmp_path_factory.mktemp("damaged")
    bag = write_bag(tmp_path / "bag", recording(0.5), storage)
    names = sorted(path.name for path in bag.iterdir())
    file = bag / data.draw(st.sampled_from(names))
    content = bytearray(file.read_bytes())
    place = st.integers(0, len(content) - 1)
    if data.draw(st.booleans()):
        del content[data.draw(place) :]
    else:
        for at in data.draw(st.lists(place, min_size=1, max_size=8)):
            content[at] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    options = BagOptions(recover=data.draw(st.booleans()))
    text = ""
    try:
        import_bags([bag], arm(), tmp_path / "set", options)
    except LramError as error:
        text = str(error)
    if text:
        assert str(bag) in text
        assert [path.name for path in tmp_path.iterdir()] == ["bag"]
    else:
        assert Dataset.open(tmp_path / "set").steps > 0
