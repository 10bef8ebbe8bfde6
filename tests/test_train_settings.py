"""Settings of a training: YAML and overrides, checked key by key."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.backbones import size_options
from lram_core.bundle import load_bundle
from lram_core.errors import BundleError, CommandError
from lram_core.testing import small_dataset
from lram_core.training.command import train as command
from lram_core.training.config import MIXES
from lram_core.training.settings import (
    DEFAULT_SIZE,
    DEFAULTS,
    RunSettings,
    make_settings,
    merge,
    read_overrides,
    read_settings,
    to_yaml,
)

positive = st.floats(1e-300, 1e300)


@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "batch": st.integers(1, 10**9),
            "lr": positive,
            "lr_end": positive,
            "betas": st.tuples(st.floats(0, 1), st.floats(0, 1)),
            "mix": st.sampled_from(MIXES),
            "compile": st.booleans(),
            "init": st.just(""),
            "device": st.text(max_size=8),
            "out": st.text(max_size=8),
            "data": st.lists(st.text(max_size=8), max_size=3).map(tuple),
        },
    )
)
@settings(max_examples=100, deadline=None)
def test_what_is_printed_is_read_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]
) -> None:
    full = replace(DEFAULTS, backbone_options=size_options("xlstm", "d128-7:1"), **changes)
    file = tmp_path_factory.mktemp("settings") / "run.yaml"
    file.write_text(to_yaml(full))
    assert make_settings(read_settings(file)) == full


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "Müller", " x ", "\ufeff"])
def test_characters_that_yaml_takes_for_others_are_escaped(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(to_yaml(replace(DEFAULTS, device=text)))
    assert make_settings(read_settings(tmp_path / "run.yaml")).device == text
    assert ("Müller" in to_yaml(replace(DEFAULTS, device=text))) == (text == "Müller")


@given(words=st.lists(st.text(max_size=12), max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_words_are_settings_or_a_clear_error(words: list[str]) -> None:
    with suppress(CommandError, BundleError):
        assert isinstance(make_settings(read_overrides(words)), RunSettings)


def test_overrides_beat_options_and_options_beat_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "batch: 2\nsteps: 7\nlr: 1e-2\nsize: d128\nbackbone_options: {chunk_size: 50}\n"
    )
    words = ["--config", str(file), "--print-config", "--batch", "3", "--steps", "8"]
    done = CliRunner().invoke(command, [*words, "steps=9", "backbone_options.num_heads=8"])
    assert done.exit_code == 0, done.output
    printed = make_settings(yaml.safe_load(done.stdout))
    assert (printed.batch, printed.steps, printed.lr) == (3, 9, 0.01)
    assert printed.backbone_options == size_options("xlstm", "d128", chunk_size=50, num_heads=8)


def test_texts_stay_texts() -> None:
    made = make_settings(read_overrides(["run=2026-01-01", "out=1", "data=a", "init=", "lr=1e-3"]))
    assert (made.run, made.out, made.data, made.init) == ("2026-01-01", "1", ("a",), "")
    assert made.lr == 1e-3


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"bach": 3}, r"run\.yaml: unknown key 'bach' \(did you mean 'batch'\?\); keys: backb"),
        ({"evaluate-every": 3}, r"'evaluate-every' \(did you mean 'evaluate_every'\?\)"),
        ({"zzzz": 3}, r"unknown key 'zzzz'; keys: backbone, "),
        ({"batch": "many"}, r"batch: expected a valid integer, found 'many' \(str\)"),
        ({"batch": True}, r"batch: expected a number, found True \(bool\)"),
        ({"batch": 0}, r"batch: expected greater than or equal to 1, found 0 \(int\)"),
        ({"lr": float("nan")}, r"lr: expected a finite number, found nan \(float\)"),
        ({"optimizer": "sgd"}, r"optimizer: expected 'adamw' or 'muon', found 'sgd'"),
        ({"betas": 0.9}, r"betas: expected a list, found 0\.9 \(float\)"),
        ({"betas": [1, 1, 1]}, r"betas: expected at most 2 items, not 3, found \[1, 1, 1\]"),
        ({"bf16_cpu": "?"}, r"bf16_cpu: expected a valid boolean or 'auto', found '\?' \(str\)"),
        ({"backbone_options": 3}, r"backbone_options: expected a mapping, found 3"),
        ({"seed": 2**32}, r"seed: expected less than or equal to 4294967295, found 4294967296"),
        ({"betas": [0.9]}, r"betas\.1: expected a value here, found \[0\.9\] \(list\)"),
        ({"init": None}, r"init: expected a valid string, found None \(NoneType\)"),
    ],
)
def test_wrong_settings_are_named(data: dict[str, object], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        make_settings(data, "run.yaml")


def test_wrong_files_and_words_are_named(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    with pytest.raises(CommandError, match="no such file of settings"):
        read_settings(file)
    for text, message in (
        ("[1", "not valid YAML"),
        ("3", "expected a mapping of settings, found i"),
        ("0", "expected a mapping of settings, found int"),
        ("lr: 1\nlr: 2", "the key 'lr' is there twice .* line 2"),
        ("backbone_options: {num_heads: 1, num_heads: 2}", "the key 'num_heads' is there twice"),
    ):
        file.write_text(text)
        with pytest.raises(CommandError, match=message):
            read_settings(file)
    with pytest.raises(CommandError, match="expected key=value, found 'batch'"):
        read_overrides(["batch"])
    with pytest.raises(CommandError, match=r"expected key=value, found 'backbone_options\.=3'"):
        read_overrides(["backbone_options.=3"])
    with pytest.raises(CommandError, match="lr: the value is no YAML"):
        read_overrides(["lr=["])
    with pytest.raises(CommandError, match="backbone_options was given as a whole"):
        read_overrides(["backbone_options=3", "backbone_options.d_model=3"])
    with pytest.raises(
        BundleError, match=r"d_modell \(did you mean 'd_model'\?\); available: d_model"
    ):
        make_settings({"size": "d128", "backbone_options": {"d_modell": 1}})
    assert merge([{"a": {"b": 1}}, {"a": {"c": 2}}, {"a": 3}]) == {"a": 3}


def printed(*words: str) -> RunSettings:
    done = CliRunner().invoke(command, [*words, "--print-config"])
    assert done.exit_code == 0, done.output
    return make_settings(yaml.safe_load(done.stdout))


def test_a_size_that_is_asked_for_replaces_the_shape_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(make_settings({"size": "d64", "backbone_options": {"chunk_size": 9}})))
    options = size_options("xlstm", "d64", chunk_size=9)
    assert printed("--config", str(file)).backbone_options == options
    asked = printed("--config", str(file), "--size", "d128", "--set", "num_heads=8")
    assert asked.backbone_options == size_options("xlstm", "d128", num_heads=8)
    asked = printed("--config", str(file), "backbone=mamba", "size=d64")
    assert (asked.backbone, asked.backbone_options) == ("mamba", size_options("mamba", "d64"))
    options = size_options("xlstm", "d128", chunk_size=9)
    for size in ("size: d64\n", ""):  # the options are changes to any size
        file.write_text(f"{size}backbone_options: {{chunk_size: 9}}\n")
        assert printed("--config", str(file), "--size", "d128").backbone_options == options


def test_options_alone_change_the_standard_size() -> None:
    options = size_options("xlstm", DEFAULT_SIZE, num_heads=8)
    assert printed("--set", "num_heads=8").backbone_options == options
    assert printed("backbone_options.num_heads=8").backbone_options == options


def test_a_wrong_setting_is_told_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("lr: no\n")

    def told(*words: str) -> str:
        with pytest.raises(CommandError) as found:
            command(["--config", str(file), "--print-config", *words], standalone_mode=False)
        return str(found.value)

    assert told("bach=3").startswith("command line: unknown key 'bach' (did you mean 'batch'?)")
    both = told("steps=0")
    assert f"{file}: lr: expected a number, found False (bool)" in both
    assert "command line: steps: expected greater than or equal to 1, found 0 (int)" in both
    assert told("--set", "x=[").startswith("backbone_options.x: the value is no YAML: '['")


def test_a_file_alone_is_a_whole_run(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    file = tmp_path / "run.yaml"
    shape = {"d_model": 16, "num_layers": 1, "num_heads": 1}
    content = {"data": str(tmp_path / "data"), "out": str(tmp_path / "b"), "bins": 16, "batch": 2}
    content |= {
        "run": str(tmp_path / "run"),
        "steps": 1,
        "device": "cpu",
        "backbone_options": shape,
    }
    file.write_text(yaml.safe_dump(content))
    done = CliRunner().invoke(command, ["--config", str(file), "context=8"])
    assert done.exit_code == 0, done.output
    assert load_bundle(tmp_path / "b")[0].config.backbone_options == shape
    card = (tmp_path / "b" / "README.md").read_text()
    assert "--batch 2 --context 8 --steps 1 --device cpu" in card
    assert "--bins 16" in card
    nothing = CliRunner().invoke(command, [])
    assert nothing.exit_code == 2
    assert "missing --data, --out" in nothing.output


def test_options_take_what_the_settings_take() -> None:
    """Their types and ranges are those of the settings, declared once."""
    for words, message in (
        (["--batch", "0"], "0 is not in the range x>=1"),
        (["--bins", "1"], "1 is not in the range x>=2"),
        (["--lr", "0"], "0.0 is not in the range x>0"),
        (["--minutes", "-1"], "-1.0 is not in the range x>=0"),
        (["--optimizer", "sgd"], "'sgd' is not one of 'adamw', 'muon'"),
        (["--init", "nowhere"], "Directory 'nowhere' does not exist"),
    ):
        done = CliRunner().invoke(command, [*words, "--print-config"])
        assert done.exit_code == 2
        assert message in " ".join(done.stderr.split())
    words = ["--lr", "2e-3", "--minutes", "1.5", "--freeze-shared", "--mix", "task", "--compile"]
    done = CliRunner().invoke(command, [*words, "--return-jitter", "0", "--print-config"])
    assert done.exit_code == 0, done.output
    made = make_settings(yaml.safe_load(done.stdout))
    assert (made.lr, made.minutes, made.return_jitter) == (0.002, 1.5, 0.0)
    assert (made.freeze_shared, made.compile, made.mix) == (True, True, "task")
