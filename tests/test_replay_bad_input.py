"""A bag that cannot be judged by is refused in one line: the file, the topic, and the time."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys

import pytest
from bag_rig import MILLISECOND, set_hash, write_bag
from builtin_interfaces.msg import Time
from click.testing import CliRunner
from loop_rig import COMMANDS, JOINTS, arm_bundle, arm_contract
from ros_graph import CONTRACT, robot_messages
from rosbags.rosbag2 import StoragePlugin
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from lram_core.errors import LramError
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.replay.command import replay

BEGIN = 1_700_000_000 * 10**9
TICK = 12_500_000
NAMES = ["ee_dx", "ee_dy", "ee_dz", "gripper"]


def refusal(bag, bundle, contract=CONTRACT, *more):
    """What ``lram replay`` says; it must be one line."""
    arguments = [str(a) for a in (bag, "--policy", bundle, "--contract", contract, *more)]
    with pytest.raises(LramError) as error:
        CliRunner().invoke(replay, arguments, catch_exceptions=False)
    text = str(error.value)
    assert "\n" not in text
    return text


def command(tick, value=0.5, episode=1):
    message = ActionCommand(name=NAMES, value=[value] * 4, episode=episode, tick=tick)
    stamp = (tick + 1) * TICK
    message.header.stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message


def sets(count=40):
    """A recording of the Meta-World robot: whole sets, and the commands that answered them."""
    for tick in range(count):
        now = BEGIN + tick * 10 * MILLISECOND
        for topic, message in robot_messages(tick).items():
            yield now, f"/{topic}", message
        yield now + MILLISECOND, "/command", command(tick)


def arm(count=200, jump=None):
    """A recording of the arm; ``jump``: (message, what its stamp and those after gain in s)."""
    for number in range(count):
        now = BEGIN + number * 10 * MILLISECOND
        message = JointState(name=JOINTS, position=[0.1] * 3, velocity=[0.0] * 3, effort=[0.0] * 3)
        stamp = now - MILLISECOND
        if jump is not None and number >= jump[0]:
            stamp += round(jump[1] * 10**9)
        message.header.stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
        yield now, "/joint_states", message
        if number % 5 == 0:
            yield now, f"/{COMMANDS}", Float64MultiArray(data=[0.1] * 3)


@pytest.mark.parametrize("topic", ["/goal", "/command"])
def test_a_needed_topic_is_missing(tiny_bundle, tmp_path, topic):
    bag = write_bag(tmp_path / "bag", [m for m in sets() if m[1] != topic])
    text = refusal(bag, tiny_bundle)
    assert re.match(rf"{bag} \(from 0\.000 s .*\): no messages on {topic}, which .* needs", text)
    assert "it has /end_effector/pose, " in text


def test_another_type(tiny_bundle, tmp_path):
    messages = [m for m in sets() if m[1] != "/goal"]
    bag = write_bag(tmp_path / "bag", [*messages, (BEGIN, "/goal", String(data="there"))])
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /goal is std_msgs/msg/String (first at 0.000 s" in text
    assert "says geometry_msgs/msg/PointStamped" in text


def test_another_message_definition(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets())
    set_hash(bag, "/goal", "RIHS01_" + "0" * 64)
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /goal (first at 0.000 s" in text
    assert "has another definition than the one installed here" in text


@pytest.mark.parametrize(("seconds", "words"), [(-3.0, "go back by"), (3600.0, "jump by +3600")])
def test_a_clock_that_jumped(tmp_path, seconds, words):
    bag = write_bag(tmp_path / "bag", arm(jump=(100, seconds)))
    text = refusal(bag, arm_bundle(tmp_path), arm_contract(tmp_path))
    assert f"{bag}: clock jump: /joint_states at 1.000 s" in text
    assert words in text


def test_the_part_before_a_jump_can_be_replayed(tmp_path):
    bag = write_bag(tmp_path / "bag", arm(jump=(100, -3.0)))
    arguments = [bag, "--policy", arm_bundle(tmp_path), "--contract", arm_contract(tmp_path)]
    arguments = [str(argument) for argument in (*arguments, "--to", "0.95", "--json")]
    done = CliRunner().invoke(replay, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["ticks"] == 20


def test_simulated_time_without_a_clock(tmp_path):
    bag = write_bag(tmp_path / "bag", arm(jump=(0, -BEGIN / 10**9 + 10)))
    text = refusal(bag, arm_bundle(tmp_path), arm_contract(tmp_path))
    assert f"{bag}: /joint_states at 0.000 s" in text
    assert "the bag has no /clock" in text


def test_two_answers_to_one_observation(tiny_bundle, tmp_path):
    second = (BEGIN + 205 * MILLISECOND, "/command", command(20, value=-0.5))
    bag = write_bag(tmp_path / "bag", sorted([*sets(), second], key=lambda m: m[0]))
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /command at 0.205 s" in text
    assert "two publishers" in text


def test_two_publishers_that_the_recorder_saw(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets(), publishers={"/command": 2, "/goal": 2})
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /command (first at 0.001 s" in text
    assert "2 publishers" in text


def test_two_commands_for_each_tick_of_the_policy(tmp_path):
    """Commands without a stamp: their number alone tells."""
    messages = [m for m in arm() if m[1] == "/joint_states"]
    for tick in range(30):
        now = BEGIN + tick * 50 * MILLISECOND + 5 * MILLISECOND
        trace = PolicyTick(
            tick=tick, input_name=["joint_states"], input_age=[0.006], action_name=JOINTS,
            observation=[0.1] * 3, raw_action=[0.1] * 3, commanded_action=[0.1] * 3,
        )  # fmt: skip
        trace.header.stamp = Time(sec=now // 10**9, nanosec=now % 10**9)
        messages += [
            (now, f"/{COMMANDS}", Float64MultiArray(data=[0.1] * 3)),
            (now, "/policy/tick", trace),
            (now + 20 * MILLISECOND, f"/{COMMANDS}", Float64MultiArray(data=[-0.4] * 3)),
        ]
    bag = write_bag(tmp_path / "bag", sorted(messages, key=lambda m: m[0]))
    text = refusal(bag, arm_bundle(tmp_path), arm_contract(tmp_path))
    assert re.search(rf"{bag}: /{COMMANDS} at 0\.\d+ s .*: two publishers: \d+ commands came", text)


def test_a_file_that_is_cut_in_the_middle(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets(400))
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    text = refusal(bag, tiny_bundle)
    assert re.match(
        rf"{file}: cut short; the last whole message is /\S+ at [12]\.\d+ s \(2023-11-14", text
    )


def test_a_database_that_is_damaged_in_the_middle(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets(400), StoragePlugin.SQLITE3)
    file = next(bag.glob("*.db3"))
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:half] + bytes(len(content) - half))
    with pytest.raises(sqlite3.DatabaseError), sqlite3.connect(file) as database:
        database.execute("SELECT sum(length(data)) FROM messages").fetchall()
    text = refusal(bag, tiny_bundle)
    assert str(bag) in text
    assert re.search(r"damaged after /\S+ at ", text)


def test_damaged_messages(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets(), StoragePlugin.SQLITE3)
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        (topic,) = database.execute("SELECT id FROM topics WHERE name = '/goal'").fetchone()
        database.execute(
            "UPDATE messages SET data = substr(data, 1, 20) WHERE topic_id = ? AND timestamp = ?",
            (topic, BEGIN + 200 * MILLISECOND),
        )
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /goal at 0.200 s" in text


def test_a_contract_for_another_robot(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets())
    text = refusal(bag, tiny_bundle, arm_contract(tmp_path))
    assert text.startswith(f"{bag} (from 0.000 s")
    assert "no messages on /joint_states" in text
    text = refusal(bag, arm_bundle(tmp_path))
    first = f"{CONTRACT}: robot is 'sawyer', the bundle was trained on 'arm'"
    assert text == f"{first}; 4 more, 'lram contract check' tells all"


def test_a_bag_of_a_policy_with_another_contract(tiny_bundle, tmp_path):
    trace = PolicyTick(input_name=["joint_states"], action_name=NAMES)
    bag = write_bag(tmp_path / "bag", [*sets(), (BEGIN, "/policy/tick", trace)])
    text = refusal(bag, tiny_bundle)
    assert f"{bag}: /policy/tick at 0.000 s" in text
    assert "recorded with another robot contract: its policy read joint_states, " in text


def test_a_part_that_holds_nothing(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets())
    assert "no messages on " in refusal(bag, tiny_bundle, CONTRACT, "--from", "100")
    assert "--from 3 is not before --to 2" in refusal(
        bag, tiny_bundle, CONTRACT, "--from", "3", "--to", "2"
    )


def test_options_that_make_no_sense(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets())
    text = refusal(bag, tiny_bundle, CONTRACT, "--max-error", "elbow=1")
    assert text == "--max-error: no joint elbow; the contract commands ee_dx, ee_dy, ee_dz, gripper"
    assert "--max-error 'much'" in refusal(bag, tiny_bundle, CONTRACT, "--max-error", "much")
    with pytest.raises(LramError, match="give the bundle to replay it through: --policy"):
        CliRunner().invoke(replay, [str(bag)], catch_exceptions=False)


def test_the_command_ends_with_2_and_leaves_nothing(tiny_bundle, tmp_path):
    bag = write_bag(tmp_path / "bag", sets())
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:500])
    out = tmp_path / "out"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "lram_core.cli", "replay", str(bag), "--policy"),
            *(str(tiny_bundle), "--out", str(out)),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert not out.exists()
