"""Cartesian moves as joint targets: a made-up arm, its limits, its frames."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from adapter_rig import DATA, PERIOD, policy, robot, sink_data
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.errors import ContractError, RuntimeUnavailable
from lram_ros.adapters.inverse_kinematics import IkError, InverseKinematics
from lram_ros.adapters.kinds import NoReference, make_mappers
from lram_ros.contract_check import disagreements

JOINTS = ["pan", "lift", "elbow", "wrist_1", "wrist_2", "wrist_3"]
HOME = np.array([0.3, 0.4, 1.2, 0.5, 0.2, 0.1])
AXES = ("x", "y", "z", "rx", "ry", "rz")
STATES = {
    "topic": "joint_states",
    "type": "sensor_msgs/msg/JointState",
    "max_age": 0.1,
    "fields": {"joint_position": {"path": "position", "names": JOINTS, "unit": "rad"}},
}


def sink(joint=None, share=1.0, **cartesian):
    """A sink of six joints that is driven by Cartesian moves of up to 2 cm, 0.1 rad."""
    joint = {"unit": "rad", "low": -2.8, "high": 2.8, "max_velocity": 3.0, **(joint or {})}
    moves = {
        f"ee_d{axis}": {
            "axis": axis,
            "unit": "rad" if axis.startswith("r") else "m",
            "low": -0.1 if axis.startswith("r") else -0.02,
            "high": 0.1 if axis.startswith("r") else 0.02,
        }
        for axis in AXES
    }
    section = {"model": "arm.xml", "frame": "tool", "fields": moves, **cartesian}
    joints = dict.fromkeys(JOINTS, joint)
    return sink_data("forward_position", joints, cartesian=section, share=share)


def arm(item):
    return robot(item, inputs=[STATES])


def solver(**keys):
    return InverseKinematics(arm(sink(**keys)).sinks[0], PERIOD)


def bundle(**keys):
    return policy("cartesian_delta", [f"ee_d{a}" for a in AXES], **{"unit": "m", **keys})


def angle(rotation):
    return np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))


small = st.floats(-0.02, 0.02)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-0.3, 0.3), min_size=6, max_size=6),
    st.lists(small, min_size=3, max_size=3),
    st.lists(st.floats(-0.03, 0.03), min_size=3, max_size=3),
)
def test_the_tool_goes_where_the_delta_says(offset, move, turn):
    # Fast joints: what a speed limit takes off a move is another test's.
    moving, start = solver(joint={"max_velocity": 30.0}), HOME + offset
    position, rotation = moving.pose(start)
    reached, turned = moving.pose(moving(start, np.array([*move, *turn])))
    assert reached - position == pytest.approx(move, abs=1e-4)
    wanted = rotation_of(np.array(turn)) @ rotation
    assert angle(wanted.T @ turned) < 1e-3


def rotation_of(vector):
    """Rotation matrix of a rotation vector (Rodrigues), without the library under test."""
    size = np.linalg.norm(vector)
    if size < 1e-12:
        return np.eye(3)
    x, y, z = vector / size
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(size) * cross + (1 - np.cos(size)) * cross @ cross


def test_axes_of_the_tool_and_of_the_base():
    move = np.array([0.01, 0.0, 0.0, 0.0, 0.0, 0.05])
    base, tool = solver(), solver(axes="tool")
    position, rotation = base.pose(HOME)
    in_base, in_tool = (found.pose(found(HOME, move)) for found in (base, tool))
    assert in_base[0] - position == pytest.approx([0.01, 0, 0], abs=1e-4)
    assert in_tool[0] - position == pytest.approx(rotation @ [0.01, 0, 0], abs=1e-4)
    turn = rotation_of(move[3:])
    assert angle((turn @ rotation).T @ in_base[1]) < 1e-3
    assert angle((rotation @ turn).T @ in_tool[1]) < 1e-3


def test_no_move_is_no_motion():
    assert solver()(HOME, np.zeros(6)) == pytest.approx(HOME, abs=1e-9)


def test_speeds_stay_within_the_contracts():
    slow = solver(joint={"max_velocity": 0.1})
    found = slow(HOME, np.array([0.02, 0.02, 0.02, 0, 0, 0]))
    assert np.abs(found - HOME).max() == pytest.approx(0.1 * PERIOD, rel=1e-4)


def test_joints_stay_within_the_narrower_limits():
    tight = solver(joint={"low": -2.8, "high": 1.21})
    q = HOME
    for _ in range(40):
        q = tight(q, np.array([0.0, 0.0, -0.02, 0, 0, 0]))
        assert q.max() <= 1.21 + 1e-6
    far = solver(joint={"low": -9.0, "high": 9.0})
    q = HOME
    for _ in range(100):
        q = far(q, np.array([0.0, 0.0, -0.02, 0, 0, 0]))
    assert np.abs(q).max() <= 2.8 + 1e-6  # the model's


def test_stretched_out_arm_stays_finite():
    moving, q = solver(), np.zeros(6)  # singular: straight up
    for _ in range(20):
        before, q = q, moving(q, np.array([0.0, 0.0, 0.02, 0, 0, 0]))
        assert np.abs(q - before).max() <= 3.0 * PERIOD + 1e-9
    assert np.isfinite(q).all()


def test_other_joints_of_the_model_are_left_alone():
    moving = solver()
    moving(HOME, np.array([0.02, 0.02, 0.0, 0.1, 0, 0]))
    finger = moving._model.joint("finger").qposadr[0]
    assert moving._configuration.q[finger] == pytest.approx(0.0, abs=1e-9)


def test_arm_of_three_joints_follows_positions_alone():
    item = sink(orientation_cost=0.001)
    item["fields"] = {name: item["fields"][name] for name in JOINTS[:3]}
    moving = InverseKinematics(arm(item).sinks[0], PERIOD)
    start, move = HOME[:3], np.array([0.01, -0.005, 0.01])
    found = moving(start, np.array([*move, 0, 0, 0]))
    assert moving.pose(found)[0] - moving.pose(start)[0] == pytest.approx(move, abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_move_that_is_not_finite_is_an_error(bad):
    with pytest.raises(IkError, match="not finite"):
        solver()(HOME, np.array([0, bad, 0, 0, 0, 0]))
    with pytest.raises(IkError, match="not finite"):
        solver()(np.where(HOME[2] == HOME, bad, HOME), np.zeros(6))


def test_units_of_the_sink():
    degrees = {"unit": "deg", "low": -160.0, "high": 160.0, "max_velocity": 180.0}
    move = np.array([0.01, 0.0, 0.01, 0, 0, 0])
    found = solver(joint=degrees)(np.rad2deg(HOME), move)
    assert np.deg2rad(found) == pytest.approx(solver()(HOME, move), abs=1e-3)


class TestMapper:
    def test_from_a_bundle_in_centimetres_to_joints(self):
        contract = arm(sink())
        fields = {f"ee_d{a}": "0.01 m" for a in "xyz"}
        short = sink()
        moves = {n: m for n, m in short["cartesian"]["fields"].items() if n in fields}
        short["cartesian"]["fields"] = moves
        contract = arm(short)
        actions = policy("cartesian_delta", list(fields), unit="0.01 m", low=-1.0, high=1.0)
        assert not [line for line in disagreements(contract, actions) if "command" in line]
        (mapper,) = make_mappers(contract, actions)
        with pytest.raises(NoReference):
            mapper.target(np.zeros(3))
        found = mapper.target([1.0, 0.0, -0.5], HOME)
        moving = solver()
        moved = moving.pose(found.values)[0] - moving.pose(HOME)[0]
        assert moved == pytest.approx([0.01, 0.0, -0.005], abs=1e-4)
        assert not found.clipped.any()

    def test_moves_are_cut_to_the_contracts_limits(self):
        short = sink()
        short["cartesian"]["fields"] = {"ee_dx": short["cartesian"]["fields"]["ee_dx"]}
        (mapper,) = make_mappers(arm(short), policy("cartesian_delta", ["ee_dx"], unit="m"))
        found = mapper.target([0.5], HOME)
        moving = solver()
        moved = moving.pose(found.values)[0] - moving.pose(HOME)[0]
        assert moved == pytest.approx([0.02, 0, 0], abs=3e-4)
        assert found.clipped.all()

    def test_a_share_of_each_move_is_asked_for(self):
        short = sink(share=0.25)
        short["cartesian"]["fields"] = {"ee_dx": short["cartesian"]["fields"]["ee_dx"]}
        (mapper,) = make_mappers(arm(short), policy("cartesian_delta", ["ee_dx"], unit="m"))
        found = mapper.target([0.02], HOME)
        moving = solver()
        moved = moving.pose(found.values)[0] - moving.pose(HOME)[0]
        assert moved == pytest.approx([0.005, 0, 0], abs=1e-4)
        assert not found.clipped.any()

    def test_the_path_does_not_drift_from_tick_to_tick(self):
        short = sink()
        short["cartesian"]["fields"] = {"ee_dx": short["cartesian"]["fields"]["ee_dx"]}
        actions = policy("cartesian_velocity", ["ee_dx"], unit="m/s")
        (mapper,) = make_mappers(arm(short), actions)
        measured, moving = HOME, solver()
        mapper.sent(HOME)
        for _ in range(20):  # 0.1 m/s, one second, forth and back
            mapper.sent(mapper.target([-0.1], measured).values)
        reached = mapper.target([0.0], measured).values
        assert moving.pose(reached)[0] - moving.pose(HOME)[0] == pytest.approx(
            [-0.1, 0, 0], abs=1e-3
        )
        for _ in range(20):
            mapper.sent(mapper.target([0.1], measured).values)
        assert moving.pose(mapper.target([0.0], measured).values)[0] == pytest.approx(
            moving.pose(HOME)[0], abs=1e-3
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "none.xml"}, ["none.xml does not exist"]),
        ({"model": "README.md"}, ["README.md cannot be read"]),
        ({"frame": "flange"}, ["has no site 'flange'; it has tool"]),
        ({"frame": "arm", "frame_type": "body"}, ["has no body 'arm'", "upper_arm", "hand"]),
    ],
)
def test_model_that_does_not_fit(changes, words):
    found = list(disagreements(arm(sink(**changes)), bundle()))
    assert any(all(word in line for word in words) for line in found), found
    assert not any("\n" in line for line in found)


def test_joint_that_the_model_lacks():
    item = sink()
    item["fields"]["shoulder"] = item["fields"].pop("pan")
    with pytest.raises(ContractError, match=r"no joint 'shoulder'; it has pan, lift.*finger"):
        InverseKinematics(arm(item).sinks[0], PERIOD)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"axis": "roll"}, "one of x, y, z, rx, ry, rz"),
        ({"axis": "y"}, "axis y is given more than once"),
        ({"unit": "rad"}, "'rad' is a unit of angle; a move along x has a unit of length"),
        ({"low": 1.0}, "low 1 must be below high 0.02"),
    ],
)
def test_cartesian_section_that_makes_no_sense(field, words):
    item = sink()
    item["cartesian"]["fields"]["ee_dx"].update(field)
    with pytest.raises(ContractError, match=words):
        arm(item)


@pytest.mark.parametrize(
    ("posture", "words"),
    [
        ([0.0, 0.1], "posture: 2 numbers, expected one a joint: pan, lift"),
        (["up"] * 6, "posture: expected a list of numbers, found"),
        ([float("inf")] * 6, "a list of numbers that are finite"),
    ],
)
def test_posture_that_makes_no_sense(posture, words):
    with pytest.raises(ContractError, match=words):
        arm(sink(posture=posture))


def test_urdf(tmp_path):
    (tmp_path / "arm.urdf").write_text(
        """<robot name="two"><link name="base"/>
        <link name="one"><inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0"
          ixz="0" iyz="0"/></inertial></link>
        <link name="two"><inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0"
          ixz="0" iyz="0"/></inertial></link>
        <joint name="a" type="prismatic"><parent link="base"/><child link="one"/>
          <axis xyz="1 0 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
        <joint name="b" type="prismatic"><parent link="one"/><child link="two"/>
          <axis xyz="0 1 0"/><limit lower="-1" upper="1" effort="1" velocity="1"/></joint>
        </robot>"""
    )
    item = sink(model=str(tmp_path / "arm.urdf"), frame="two", frame_type="body")
    joint = {"unit": "m", "low": -1.0, "high": 1.0, "max_velocity": 1.0}
    item["fields"] = {"a": joint, "b": joint}
    found = InverseKinematics(arm(item).sinks[0], PERIOD)
    moved = found(np.zeros(2), np.array([0.01, 0.02, 0, 0, 0, 0]))
    assert moved == pytest.approx([0.01, 0.02], abs=1e-5)


def test_missing_library_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without_mink(name, *args, **keys):
        if name == "mink":
            raise ModuleNotFoundError("No module named 'mink'", name="mink")
        return real(name, *args, **keys)

    monkeypatch.setattr(builtins, "__import__", without_mink)
    with pytest.raises(RuntimeUnavailable, match=r"need the Python module 'mink': pip install"):
        solver()
    assert (DATA / "arm.xml").exists()
