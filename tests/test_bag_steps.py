"""Sets of a bag: whole, in the order of their stamps, once each, whatever the recorder's order."""

from __future__ import annotations

import pytest
from geometry_msgs.msg import PoseStamped
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message

from lram_core.errors import DataError
from lram_ros.bag_steps import Step, by_message, by_set, header_stamp

TOPICS = ["/pose", "/reward", "/episode"]


def stamp_of(topic, data):
    return None if topic == "/other" else int(data)


def play(messages):
    numbered = [(time, topic, str(stamp).encode()) for time, (topic, stamp) in enumerate(messages)]
    return list(by_set(numbered, TOPICS, stamp_of))


@given(st.data(), st.integers(1, 30))
def test_each_set_is_whole_before_the_next_begins(data, count):
    """A recorder takes each topic in order, but not all topics at the same pace."""
    left = {topic: list(range(count)) for topic in TOPICS}
    messages = []
    while any(left.values()):
        # no topic runs ahead of another by more than a reader's queue
        least = min(numbers[0] for numbers in left.values() if numbers)
        ready = [topic for topic, numbers in left.items() if numbers and numbers[0] - least < 10]
        topic = data.draw(st.sampled_from(ready))
        messages.append((topic, left[topic].pop(0)))
    steps = play(messages)
    assert [step.stamp for step in steps] == list(range(count))
    for step in steps:
        assert [topic for topic, _ in step.messages] == TOPICS
        assert {int(data) for _, data in step.messages} == {step.stamp}
    times = {stamp: time for time, (_, stamp) in enumerate(messages)}  # of each set's last message
    assert [step.time for step in steps] == [times[step.stamp] for step in steps]


def test_a_repeated_set_is_played_once():
    one = [(topic, 5) for topic in TOPICS]
    assert [step.stamp for step in play([*one, *one, *((t, 6) for t in TOPICS)])] == [5, 6]


def test_a_restarted_source_repeats_its_stamps():
    run = [(topic, stamp) for stamp in (1, 2) for topic in TOPICS]
    assert [step.stamp for step in play([*run, *run])] == [1, 2, 1, 2]


def test_an_incomplete_set_comes_in_its_place_without_a_stamp():
    lacking = [("/pose", 2), ("/episode", 2)]
    others = {stamp: [(topic, stamp) for topic in TOPICS] for stamp in (1, 3)}
    steps = play([*others[1], *lacking, *others[3]])
    assert [step.stamp for step in steps] == [1, None, 3]
    assert [topic for topic, _ in steps[1].messages] == ["/pose", "/episode"]


def test_an_end_announced_later_follows_its_set():
    """The bridge announces an aborted episode with the stamp of the last set."""
    one, two = ([(topic, stamp) for topic in TOPICS] for stamp in (1, 2))
    steps = play([*one, ("/episode", 1), *two])
    assert [step.stamp for step in steps] == [1, None, 2]
    assert steps[1].messages == (("/episode", b"1"),)


def test_an_incomplete_set_does_not_hold_up_the_bag():
    messages = [("/pose", 0), *((topic, s) for s in range(1, 40) for topic in TOPICS)]
    numbered = ((t, topic, str(stamp).encode()) for t, (topic, stamp) in enumerate(messages))
    steps = by_set(numbered, TOPICS, stamp_of)
    assert next(steps).stamp is None
    assert next(numbered)[2] < b"20"  # most of the bag was not read yet
    assert [step.stamp for step in steps][:3] == [1, 2, 3]


def test_what_belongs_to_no_set_is_a_step():
    one = [(topic, 1) for topic in TOPICS]
    steps = play([*one, ("/other", 0)])
    assert steps[1] == Step(3, (("/other", b"0"),))


def test_by_message_changes_nothing():
    messages = [(3, "/b", b"x"), (4, "/a", b"y")]
    assert list(by_message(messages)) == [Step(3, (("/b", b"x"),)), Step(4, (("/a", b"y"),))]


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1), st.text("abc", max_size=5))
def test_the_stamp_is_read_in_place(seconds, nanoseconds, frame):
    message = PoseStamped()
    message.header.stamp.sec, message.header.stamp.nanosec = seconds, nanoseconds
    message.header.frame_id = frame
    assert header_stamp(serialize_message(message)) == seconds * 10**9 + nanoseconds


@pytest.mark.parametrize("data", [b"", b"\0\1\0\0\0\0\0\0", b"\7\7" + bytes(30)])
def test_a_damaged_message_is_named(data):
    with pytest.raises(DataError, match="damaged"):
        header_stamp(data)
