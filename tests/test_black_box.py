"""The black box keeps the last ticks, writes them whole or not at all, and reads nothing else."""

from __future__ import annotations

import json
import math
import os
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from memory_growth import grown

from lram_core.errors import DataError
from lram_ros.black_box import BlackBox, Layout, Recording

LAYOUT = Layout(
    observation=("x", "y", "z"),
    actions=("dx", "grip"),
    inputs=("joint_states", "goal"),
    stages=("observe", "step"),
)


def filled(ticks, capacity=8):
    box = BlackBox(LAYOUT, capacity, {"bundle": "metaworld-ml45"})
    for number in range(ticks):
        box.add(
            stamp=number * 10,
            time=100.0 + number,
            episode=2,
            tick=number,
            observation=np.full(3, number, np.float32),
            reward=0.5,
            return_to_go=900.0 - number,
            state_norm=3.0,
            raw=[number, 2 * number],
            commanded=[number, 1.0],
            ages=(0.01, 0.02),
            stages=(0.001, 0.002),
            lateness=0.0001,
        )
    return box


@settings(max_examples=30)
@given(st.integers(0, 30), st.integers(1, 12))
def test_the_last_ticks_are_kept_in_order(ticks, capacity):
    found = filled(ticks, capacity).snapshot("joint_states 0.3 s old")
    kept = list(range(max(0, ticks - capacity), ticks))
    assert len(found) == len(kept)
    assert found.ticks["tick"].tolist() == kept
    assert found.ticks["observation"].tolist() == [[n] * 3 for n in kept]
    assert found.ticks["raw"].tolist() == [[n, 2 * n] for n in kept]


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.float32, (5, 3), elements=st.floats(width=32)),
    hnp.arrays(np.float64, (5, 2), elements=st.floats()),
    st.text(max_size=60),
)
def test_what_is_saved_is_read_again_bit_for_bit(tmp_path_factory, observations, actions, reason):
    """NaN, infinities and any reason too: they are what faults are made of."""
    box = BlackBox(LAYOUT, 4, {"bundle": "b"})
    for number, (observation, raw) in enumerate(zip(observations, actions, strict=True)):
        box.add(number, number, observation=observation, raw=raw, reason=reason.replace("\0", ""))
    recording = box.snapshot(reason)
    path = recording.save(tmp_path_factory.mktemp("box"))
    found = Recording.load(path)
    assert found.layout == recording.layout
    assert found.reason == recording.reason == " ".join(reason.split())
    assert (found.time, found.about) == (recording.time, {"bundle": "b"})
    for name, values in recording.ticks.items():
        assert found.ticks[name].dtype == values.dtype
        assert found.ticks[name].tobytes() == values.tobytes()


def test_a_refused_tick_is_kept_with_its_reason():
    box = filled(2)
    box.add(stamp=20, time=102.0, ages=(math.inf, 0.1), reason="joint_states missing")
    found = box.snapshot("stale").ticks
    assert found["reason"].tolist() == ["", "", "joint_states missing"]
    assert found["ages"][2].tolist() == [math.inf, 0.1]
    for name in ("observation", "raw", "commanded", "stages", "reward", "state_norm"):
        assert np.isnan(found[name][2]).all()


def test_a_snapshot_is_a_copy_and_the_loop_goes_on():
    box = filled(8)
    taken = box.snapshot("first")
    box.add(80, 108.0, tick=8)
    assert taken.ticks["tick"].tolist() == list(range(8))
    assert box.snapshot("second").ticks["tick"].tolist() == list(range(1, 9))
    box.clear()
    assert len(box.snapshot("empty")) == 0


def test_a_vector_of_another_size_is_refused():
    with pytest.raises(ValueError, match="broadcast"):
        filled(1).add(0, 101.0, observation=[1.0, 2.0])


def test_no_file_is_replaced_and_nothing_else_is_left(tmp_path):
    recording = filled(3).snapshot("fault")
    paths = [recording.save(tmp_path / "boxes") for _ in range(3)]
    assert len(set(paths)) == 3
    assert sorted((tmp_path / "boxes").iterdir()) == sorted(paths)
    assert all(path.name.startswith("blackbox-20") and path.suffix == ".npz" for path in paths)


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="not written: No space left on device"):
        filled(3).snapshot("fault").save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_impossible_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not written"):
        filled(1).snapshot("fault").save(tmp_path / "file")


def rewritten(path, change):
    """The file with its arrays and header changed."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(str(arrays["header"]))
    change(arrays, header)
    if "header" in arrays:
        arrays["header"] = np.array(json.dumps(header))
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a, h: h.update(format_version=9), "format version 9, this release reads 1"),
        (lambda a, h: h.update(format="photos"), "is not a black box file"),
        (lambda a, h: a.pop("header"), "is not a black box file"),
        (lambda a, h: h.pop("reason"), "the header lacks reason"),
        (lambda a, h: h.update(layout={"actions": []}), "layout: expected observation, actions"),
        (lambda a, h: a.pop("raw"), "arrays .*, expected stamp"),
        (lambda a, h: a.update(extra=np.zeros(3)), "arrays .*extra"),
        (lambda a, h: a.update(raw=np.zeros((3, 5))), r"raw is float64 \(3, 5\), expected"),
        (lambda a, h: a.update(ages=np.zeros((2, 2))), r"ages is float64 \(2, 2\), expected"),
        (lambda a, h: a.update(tick=np.zeros(3)), r"tick is float64 \(3,\), expected int64"),
        (lambda a, h: a.update(stamp=np.int64(3)), "stamp is int64"),
        (lambda a, h: a.update(time=np.array([3.0, 2.0, 1.0])), "not in order of time"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_name(tmp_path, change, named):
    path = filled(3).snapshot("fault").save(tmp_path)
    rewritten(path, change)
    with pytest.raises(DataError, match=named):
        Recording.load(path)


def test_damaged_files_are_refused(tmp_path):
    path = filled(3).snapshot("fault").save(tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("raw.npy").header_offset
    for damaged in (b"", b"PK", whole[: len(whole) // 2], whole[: at + 60] + b"\0\0\0\0" * 6):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read"):
            Recording.load(path)
    changed = bytearray(whole)
    changed[at + 60 : at + 64] = bytes(255 - b for b in changed[at + 60 : at + 64])
    path.write_bytes(bytes(changed))
    with pytest.raises(DataError, match="cannot be read"):
        Recording.load(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="cannot be read"):
        Recording.load(tmp_path / "one.npy")
    with pytest.raises(DataError, match="no such file"):
        Recording.load(tmp_path / "other.npz")


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, header=np.array([{"format": "lram black box"}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        Recording.load(path)


def test_ticks_leave_no_memory_behind():
    box = filled(20)
    observation, action = np.zeros(3, np.float32), np.zeros(2)

    def run(start, ticks):
        for number in range(start, start + ticks):
            box.add(number, number, 1, number, observation, 0.0, 0.0, 1.0, action, action)

    run(100, 1000)
    assert grown(run, 1100, 3000) < 500
