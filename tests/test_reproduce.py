"""A shipped bundle is made again by one command, of the steps that its card tells."""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import pytest
import yaml
from documented_commands import ROOT
from test_docs_commands import check_lram

from benchmarks import reproduce
from lram_core.bundle import load_bundle
from lram_core.errors import CommandError
from lram_core.testing import small_dataset

SHIPPED = sorted(path.name for path in (ROOT / "models").iterdir() if path.is_dir())
TRAIN = (
    "lram train --data given --out {out} --steps 1 --batch 2 --context 4 --set d_model=16 "
    "--set num_layers=1 --size d64 --device cpu tracker=none"
)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_table_has_the_commands_of_the_card(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (ROOT / "models" / name / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    told = [line for block in blocks for line in block.splitlines()]
    assert f"`python -m benchmarks.reproduce {name}`" in card
    reproduce.main([name, "--dry-run", "--work", str(tmp_path / "work")])
    first, *printed = capsys.readouterr().out.splitlines()
    assert first == f"# {name}: {len(told)} steps, in {tmp_path / 'work'}"
    assert printed == told
    assert not (tmp_path / "work").exists()
    for step in reproduce.read_steps(name):
        check_lram(step.words[1:], whole=True)


def test_steps_read_what_earlier_ones_made() -> None:
    for name in SHIPPED:
        made: set[str] = set()
        for step in reproduce.read_steps(name):
            pairs = itertools.pairwise(step.words)
            read = {word for option, word in pairs if option in ("--data", "--init", "--rollin")}
            assert read <= made
            made.add(str(step.out))


def test_a_step_that_is_done_is_skipped_and_a_failed_one_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    table, work = tmp_path / "table.yaml", tmp_path / "work"
    steps = [
        "lram collect no-such-suite --tasks all --episodes 1 --out given",
        TRAIN.format(out="made/first"),
        TRAIN.format(out="second") + " --init made/first",
    ]
    table.write_text(yaml.safe_dump({"small": steps}))
    monkeypatch.setattr(reproduce, "TABLE", table)
    with pytest.raises(SystemExit, match=r"error: step 1 of 3 ended with code 2"):
        reproduce.main(["small", "--work", str(work)])
    assert "unknown suite 'no-such-suite'" in capfd.readouterr().err

    small_dataset(work / "given")
    (work / "made").mkdir()
    shutil.copytree(ROOT / "models" / "metaworld-ml45", work / "second")
    before = (work / "second" / "model.safetensors").stat()
    reproduce.main(["small", "--work", str(work)])
    told = [line for line in capfd.readouterr().out.splitlines() if line.startswith("lram ")]
    assert told == [f"{steps[0]}  # done", steps[1], f"{steps[2]}  # done"]
    assert load_bundle(work / "made" / "first")
    assert (work / "second" / "model.safetensors").stat() == before
    reproduce.main(["small", "--work", str(work), "--dry-run"])
    assert capfd.readouterr().out.count("  # done") == 3


def test_an_unknown_bundle_and_a_step_that_is_none_are_named() -> None:
    with pytest.raises(SystemExit, match=r"no bundle 'none' .*metaworld-ml45, robosuite-arms"):
        reproduce.main(["none"])
    for text in ("rm -r runs", "lram train --data a", "lram train --out"):
        with pytest.raises(CommandError, match="expected a command 'lram … --out FOLDER'"):
            reproduce.Step.parse(text)
