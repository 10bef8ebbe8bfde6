"""Metrics for Weights & Biases: the real package, offline, and the file that it would send."""

from __future__ import annotations

import csv
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import wandb
from train_rig import TINY
from wandb.proto.wandb_internal_pb2 import Record

from lram_core.errors import CommandError
from lram_core.testing import small_dataset
from lram_core.training.train import train

CONFIG = replace(
    TINY,
    evaluate_every=1,
    checkpoint_every=2,
    tracker="wandb",
    wandb_project="arms",
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A dataset, and a W&B that stays on this machine and leaves nothing in the home folder."""
    for name, value in {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",
        "WANDB_CACHE_DIR": str(tmp_path / "cache"),
        "WANDB_CONFIG_DIR": str(tmp_path / "config"),
        "WANDB_DATA_DIR": str(tmp_path / "staging"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    small_dataset(tmp_path / "data")
    yield tmp_path / "data"
    wandb.teardown()


def records(file: Path) -> Iterator[Record]:
    """The records of a ``.wandb`` file: a log in LevelDB's format, seven bytes of header first."""
    content, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, position)
        record += content[position + 7 : position + 7 + size]
        position += 7 + size
        if kind in (1, 4):  # a whole one, or the last piece of one
            yield Record.FromString(record)
            record = b""


def read_run(file: Path) -> tuple[dict[str, Any], list[dict[str, float]], int]:
    """What an offline run holds: id, project, name and settings; rows; exit code."""
    told: dict[str, Any] = {}
    rows: list[dict[str, float]] = []
    code = -1
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            settings = {item.key: json.loads(item.value_json) for item in run.config.update}
            told = {"id": run.run_id, "project": run.project, "name": run.display_name, **settings}
        elif kind == "history":
            rows.append(
                {".".join(i.nested_key) or i.key: json.loads(i.value_json)
                 for i in record.history.item}
            )  # fmt: skip
        elif kind == "exit":
            code = record.exit.exit_code
    return told, rows, code


def test_a_run_that_was_cut_off_goes_on_as_the_same_run(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after a row that no checkpoint has: the row is there once, with the first value."""
    import lram_core.training.train as trainer

    run, take_step = tmp_path / "run", trainer.take_step

    def cut_off(network: Any, trainee: Any, *rest: Any) -> Any:
        if trainee.step == 3:
            raise KeyboardInterrupt
        return take_step(network, trainee, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "take_step", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train([data], tmp_path / "b", run, CONFIG)
    train([data], tmp_path / "b", run, CONFIG)

    files = sorted(run.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)
    (first, rows, code), (second, later, last_code) = (read_run(file) for file in files)
    assert first["id"] == second["id"]
    assert (first["project"], first["name"]) == ("arms", "run")
    assert (first["data"], first["batch"]) == ([str(data)], 2)
    assert [row["_step"] for row in rows] == [1, 2, 3]
    assert [row["_step"] for row in later] == [4]
    assert (code, last_code) == (1, 0), "failed, then finished"
    with (run / "metrics.csv").open() as file:
        known = list(csv.DictReader(file))
    for row, line in zip([*rows, *later], known, strict=True):
        for name in ("loss", "train_loss", "mae_rad", "lr"):
            assert row[name] == pytest.approx(float(line[name]), rel=1e-3), name


def test_weights_and_biases_out_of_reach_is_said(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with pytest.raises(CommandError, match=r"'wandb': No API key .*WANDB_MODE=offline, or tracker"):
        train([data], tmp_path / "b", tmp_path / "run", CONFIG)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(CommandError, match="needs the Python module 'wandb', which is not install"):
        train([data], tmp_path / "b", tmp_path / "other", replace(CONFIG, steps=2))
