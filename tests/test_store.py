"""Dataset store: round trip, memory maps, checksums, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rig import episode

from lram_core.data.parts import merge_parts, read_part, write_part
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.store import Dataset
from lram_core.errors import DataError
from lram_core.returns import episode_return, returns_to_go
from lram_core.testing import SCHEMA, small_dataset


def assert_same(a: Episode, b: Episode) -> None:
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.task, a.seed, a.success, a.noise) == (b.task, b.seed, b.success, b.noise)


@given(lengths=st.lists(st.integers(1, 20), max_size=6))
@settings(max_examples=25, deadline=None)
def test_parts_round_trip(tmp_path_factory: pytest.TempPathFactory, lengths: list[int]) -> None:
    path = tmp_path_factory.mktemp("part") / "p.npz"
    written = [episode(length, seed) for seed, length in enumerate(lengths)]
    write_part(path, written)
    for a, b in zip(written, read_part(path), strict=True):
        assert_same(a, b)


def test_merged_dataset_keeps_every_number_and_order(tmp_path: Path) -> None:
    batches = [[episode(5, 0), episode(1, 1)], [], [episode(9, 2)]]
    for i, batch in enumerate(batches):
        write_part(tmp_path / f"{i}.npz", batch)
    merge_parts((tmp_path / f"{i}.npz" for i in range(3)), tmp_path / "set", SCHEMA, {"a": 1})
    data = Dataset.open(tmp_path / "set")
    assert data.schema == SCHEMA
    assert data.provenance == {"a": 1}
    assert isinstance(data.observations, np.memmap)
    rows = data.episodes.to_pylist()
    assert [(r["start"], r["length"]) for r in rows] == [(0, 5), (5, 1), (6, 9)]
    for row, written in zip(rows, [e for b in batches for e in b], strict=True):
        part = slice(row["start"], row["start"] + row["length"])
        np.testing.assert_array_equal(data.actions[part], written.actions)
        assert row["return"] == pytest.approx(
            episode_return(written.rewards, written.success, SCHEMA.reward)
        )
    data.verify()
    assert DatasetSchema.from_dict(SCHEMA.to_dict()) == SCHEMA


def test_corruption_is_named(tmp_path: Path) -> None:
    small_dataset(tmp_path / "set")
    file = tmp_path / "set" / "rewards.npy"
    good = file.read_bytes()
    data = bytearray(good)
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"rewards\.npy: checksum"):
        Dataset.open(tmp_path / "set").verify()
    file.write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match="corrupt dataset"):
        Dataset.open(tmp_path / "set")
    with pytest.raises(DataError, match="no dataset here"):
        Dataset.open(tmp_path)


def test_bad_parts_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    bad = episode(4, 0)
    bad.rewards[2] = np.nan
    with pytest.raises(DataError, match="rewards is not finite"):
        write_part(tmp_path / "bad.npz", [bad])
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match=r"cut\.npz: not a readable part"):
        merge_parts([tmp_path / "cut.npz"], tmp_path / "set", SCHEMA, {})
    write_part(tmp_path / "empty.npz", [])
    with pytest.raises(DataError, match="no episode"):
        merge_parts([tmp_path / "empty.npz"], tmp_path / "set", SCHEMA, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.npz", "empty.npz"]


def test_faster_success_is_a_higher_return() -> None:
    slow, fast = np.full(30, 0.5), np.full(10, 0.5)
    assert episode_return(fast, True, SCHEMA.reward) > episode_return(slow, True, SCHEMA.reward)
    assert episode_return(fast, False, SCHEMA.reward) == pytest.approx(5.0)
    to_go = returns_to_go([1.0, 2.0, 3.0], 10.0)
    np.testing.assert_allclose(to_go, [10.0, 9.0, 7.0])
