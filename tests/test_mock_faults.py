"""Faults of the mock robot: their grammar, what they do to messages, and to the clock."""

from __future__ import annotations

import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from mock_rig import CONFIG, mock_arm, read_set

from lram_core.errors import CommandError, LramError
from lram_ros.assembly import InputReader, InputSet, stamp_of
from lram_ros.mock.command import mock_robot
from lram_ros.mock.faults import KINDS, Fault, describe_kinds, parse_fault
from lram_ros.mock.injector import ClockFaults, TopicFaults, kill_at
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.robot_contract import RobotContract

TOPICS = ["joint_states", "/wrist/force", "goal"]


@pytest.fixture
def arm():
    return mock_arm()


# The grammar of faults.

NUMBERS = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def faults(draw):
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    value = {
        "": st.just(0.0),
        "count": st.integers(1, 10**6),
        "seconds": POSITIVE if kind.default > 0 else NUMBERS,
        "number": NUMBERS,
    }[kind.value]
    return Fault(
        name,
        draw(st.sampled_from(TOPICS)) if kind.topic else "",
        draw(value),
        draw(st.floats(0, 1e6)),
        draw(st.one_of(POSITIVE, st.just(math.inf))),
    )


@given(faults())
def test_a_fault_in_words_is_the_same_fault(fault):
    assert parse_fault(str(fault), TOPICS) == fault


@given(
    st.one_of(
        st.text(max_size=40),
        st.text(st.sampled_from("stale:dropkinfuzz_@=+-.019sme/ \n"), max_size=40),
        st.tuples(st.sampled_from(sorted(KINDS)), st.text(max_size=20)).map("".join),
    )
)
def test_any_text_is_a_fault_or_one_line(text):
    refusal = ""
    try:
        fault = parse_fault(text, TOPICS)
    except CommandError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) == 1
    else:
        assert parse_fault(str(fault), TOPICS) == fault


def test_faults_of_the_manual():
    assert parse_fault("stale:joint_states@3s", TOPICS) == Fault("stale", "joint_states", 0.0, 3.0)
    assert parse_fault("drop:goal=4@2s+500ms", TOPICS) == Fault("drop", "goal", 4, 2.0, 0.5)
    assert parse_fault("drop:goal@2", TOPICS).value == 2
    assert parse_fault("delay:goal=80ms@2", TOPICS).value == pytest.approx(0.08)
    assert parse_fault("nan:wrist/force@1e1", TOPICS) == Fault("nan", "/wrist/force", 0.0, 10.0)
    assert parse_fault("jump_clock=-2.5s@4s", TOPICS) == Fault("jump_clock", "", -2.5, 4.0)
    assert parse_fault("kill@10s", TOPICS) == Fault("kill", "", 0.0, 10.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stale", ["expected KIND[:TOPIC][=VALUE]@START[+DURATION]", "stale, frozen, drop"]),
        ("melt:goal@1s", ["kind 'melt' is unknown", "stale, frozen, drop", "kill"]),
        ("stale:camera@1s", ["topic 'camera'", "joint_states, /wrist/force, goal"]),
        ("stale@1s", ["needs a topic", "joint_states, /wrist/force, goal"]),
        ("kill:goal@1s", ["takes no topic"]),
        ("stale:goal=3@1s", ["takes no value, found '3'"]),
        ("drop:goal=0@1s", ["a count from 1 on, found '0'"]),
        ("drop:goal=2.5@1s", ["a count from 1 on, found '2.5'"]),
        ("delay:goal=0s@1s", ["a time above 0"]),
        ("extreme:goal=nan@1s", ["a finite number, found 'nan'"]),
        ("jump_clock@1s", ["needs a value in seconds"]),
        ("stale:goal@-1s", ["a start of at least 0"]),
        ("stale:goal@1s+0s", ["a duration above 0"]),
        ("stale:goal@soon", ["start: expected a finite number, found 'soon'"]),
        ("stale:goal@1_0s", ["found '1_0'"]),
    ],
)
def test_a_wrong_fault_names_what_there_is(text, words):
    with pytest.raises(CommandError) as caught:
        parse_fault(text, TOPICS)
    for word in words:
        assert word in str(caught.value)


def test_every_kind_is_in_the_help():
    assert len(describe_kinds().splitlines()) == len(KINDS)
    done = CliRunner().invoke(mock_robot, ["--help"])
    assert done.exit_code == 0
    assert all(name in done.output for name in KINDS)


# Faults in messages.


def injected(contract, index, *texts):
    maker = MessageMaker(contract.topics[index], {})
    names = [topic.topic for topic in contract.topics]
    return maker, TopicFaults(maker, [parse_fault(text, names) for text in texts])


def course(contract, index, *texts, ticks=40, period=0.1):
    """Publish for 4 s; returns (time, stamp) of what arrived."""
    maker, topic_faults = injected(contract, index, *texts)
    joints = Joints(contract, period)
    arrived = []
    for tick in range(ticks):
        elapsed = round(tick * period, 6)
        message = maker.make(elapsed, tick, joints)
        arrived += [(elapsed, stamp_of(found)) for found in topic_faults.apply(message, elapsed)]
    return arrived


def test_without_an_active_fault_everything_arrives(arm):
    expected = [(round(n * 0.1, 6), n) for n in range(40)]
    assert course(arm, 0) == expected
    assert course(arm, 0, "stale:joint_states@9s", "nan:tool/pose@0s") == expected


def test_stale_ends_with_its_duration(arm):
    assert [n for _, n in course(arm, 0, "stale:joint_states@1s+500ms")] == [
        *range(10),
        *range(15, 40),
    ]


def test_frozen_repeats_the_last_message(arm):
    stamps = [n for _, n in course(arm, 0, "frozen:joint_states@1s+1s")]
    assert stamps == [*range(10), *([9] * 10), *range(20, 40)]


def test_drop_loses_every_nth(arm):
    stamps = [n for _, n in course(arm, 0, "drop:joint_states=3@1s+1s")]
    assert stamps == [n for n in range(40) if n not in (12, 15, 18)]


def test_delay_is_late_in_order_and_loses_nothing(arm):
    arrived = course(arm, 0, "delay:joint_states=300ms@1s+1s")
    assert [n for _, n in arrived] == list(range(40))
    late = {n: when - n * 0.1 for when, n in arrived}
    assert late[5] == 0
    assert all(late[n] == pytest.approx(0.3, abs=0.11) for n in range(10, 20))
    assert all(late[n] == pytest.approx(0, abs=1e-6) for n in range(23, 40))


def test_faults_of_a_topic_add_up(arm):
    stamps = [n for _, n in course(arm, 0, "stale:joint_states@3s", "drop:joint_states=2@0s")]
    assert stamps == list(range(0, 30, 2))


def change(contract, index, text):
    """What the contract's reader says of a message with a fault that holds now."""
    maker, topic_faults = injected(contract, index, text)
    joints = Joints(contract, 0.02)
    joints.command(contract.sinks[0], [1.0, 20.0])
    joints.step()
    sound = maker.make(1.0, 7, joints)
    (broken,) = topic_faults.apply(maker.make(1.0, 7, joints), 1.0)
    messages = list(read_set(contract, 1.0, joints=joints).messages)
    messages[index] = sound
    expected = InputReader(contract).sensors(InputSet(7, tuple(messages), (0.0,) * len(messages)))
    messages[index] = broken
    return InputSet(7, tuple(messages), (0.0,) * len(messages)), expected, sound, broken


def test_reordered_names_are_harmless(arm):
    orders = set()
    maker, topic_faults = injected(arm, 0, "reorder:joint_states@0s")
    joints = Joints(arm, 0.02)
    joints.command(arm.sinks[0], [1.0, 20.0])
    joints.step()
    expected = InputReader(arm).sensors(read_set(arm, joints=joints))
    for tick in range(20):
        (message,) = topic_faults.apply(maker.make(0.0, tick, joints), 0.0)
        orders.add(tuple(message.name))
        messages = (message, read_set(arm).messages[1])
        found = InputReader(arm).sensors(InputSet(7, messages, (0.0, 0.0)))
        assert found["angles"].tolist() == expected["angles"].tolist()
        assert found["speeds"].tolist() == expected["speeds"].tolist()
    assert len(orders) == 2


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (0, "nan:joint_states@0s", "not finite"),
        (1, "nan:tool/pose@0s", "not finite"),
        (0, "wrong_size:joint_states@0s", "2 names, but 1 values"),
        (0, "duplicate_names:joint_states@0s", "no elbow"),
    ],
)
def test_broken_messages_are_refused_by_the_reader(arm, index, text, words):
    inputs, _, _, _ = change(arm, index, text)
    with pytest.raises(LramError, match=words):
        InputReader(arm).sensors(inputs)


def test_extreme_values_are_finite_and_elsewhere_nothing_changes(arm):
    inputs, expected, _, _ = change(arm, 1, "extreme:tool/pose=-500@0s")
    found = InputReader(arm).sensors(inputs)
    assert found["tool"].tolist() == [-500.0] * 3
    assert found["angles"].tolist() == expected["angles"].tolist()


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (1, "reorder:tool/pose@1s", ["tool/pose (geometry_msgs/msg/PoseStamped) has no names"]),
        (1, "duplicate_names:tool/pose@1s", ["has no names", "pose.position, pose.orientation"]),
        (1, "wrong_size:tool/pose@1s", ["has no arrays without a fixed size"]),
    ],
)
def test_a_fault_that_a_topic_cannot_have_is_refused(arm, index, text, words):
    with pytest.raises(CommandError) as caught:
        injected(arm, index, text)
    for word in words:
        assert word in str(caught.value)


def test_an_episode_has_no_numbers_to_spoil():
    contract = RobotContract.load(CONFIG / "metaworld.yaml")
    for kind in ("nan", "extreme"):
        with pytest.raises(CommandError, match=r"has no .*numbers"):
            injected(contract, -1, f"{kind}:episode@1s")


def test_a_second_publisher_says_something_else_at_the_same_time(arm):
    maker, topic_faults = injected(arm, 0, "second_publisher:joint_states@1s")
    message = maker.make(1.0, 7, Joints(arm, 0.02))
    assert topic_faults.intrusion(message, 0.5) is None
    other = topic_faults.intrusion(message, 1.0)
    assert other.header == message.header
    assert np.subtract(other.position, message.position) == pytest.approx([0.5, 0.5])


# Faults of the clock.


def test_the_clock_freezes_and_catches_up():
    clock = ClockFaults([parse_fault("freeze_clock@1s+1s", [])])
    shown = [clock.read(n * 100, n * 0.1) for n in range(40)]
    assert shown == [n * 100 if not 10 <= n < 20 else 1000 for n in range(40)]


def test_the_clock_jumps_and_never_shows_less_than_nothing():
    clock = ClockFaults([parse_fault("jump_clock=-1s@1s+1s", [])])
    assert clock.read(5 * 10**9, 0.9) == 5 * 10**9
    assert clock.read(5 * 10**9, 1.5) == 4 * 10**9
    assert clock.read(5 * 10**8, 1.5) == 0
    assert clock.read(5 * 10**9, 2.0) == 5 * 10**9


def test_the_first_kill_counts():
    assert kill_at([parse_fault("kill@9s", []), parse_fault("kill@4s", [])]) == 4.0
    assert kill_at([]) is None
