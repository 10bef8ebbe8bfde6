"""Where the native runtime cannot run: what is refused, and what is taken instead."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from lram_core.action_model import ModelConfig
from lram_core.errors import CommandError, RuntimeUnavailable
from lram_core.native import library
from lram_core.runtimes import _warn_once, make_runtime
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.native import CPU_VARIABLE, NativeRuntime
from lram_core.testing import small_model


def test_without_its_library_the_next_runtime_is_taken_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "PATH", tmp_path / "absent.so")
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        runtime = make_runtime(small_model(), "auto", RuntimeOptions())
    assert runtime.name != "native"
    (record,) = caplog.records
    assert "runtime native: its library is not built" in record.getMessage()
    assert f"runtime {runtime.name} is used" in record.getMessage()
    with pytest.raises(RuntimeUnavailable, match="runtime native: its library is not built"):
        make_runtime(small_model(), "native", RuntimeOptions())


def test_a_library_of_another_version_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / library.PATH.name
    other.write_bytes(library.PATH.read_bytes())
    monkeypatch.setattr(library, "PATH", other)
    monkeypatch.setattr(library, "VERSION", library.VERSION + 1)
    with pytest.raises(RuntimeUnavailable, match=f"expected {library.VERSION} "):
        NativeRuntime(small_model(), RuntimeOptions())


def test_a_broken_library_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / library.PATH.name
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(library, "PATH", broken)
    with pytest.raises(RuntimeUnavailable, match="its library does not load"):
        NativeRuntime(small_model(), RuntimeOptions())


@pytest.mark.parametrize(
    ("config", "options", "reason"),
    [
        (ModelConfig(5, 2), RuntimeOptions(torch.device("cuda")), "it runs on the CPU, not on"),
        (ModelConfig(5, 2), RuntimeOptions(threads=3), "1 or 2 threads, found threads = 3"),
        (
            ModelConfig(5, 2, backbone_options={"d_model": 24, "num_layers": 1, "num_heads": 1}),
            RuntimeOptions(),
            "d_model 24 is not a multiple of 16",
        ),
        (
            ModelConfig(5, 2, 9, "transformer", {"d_model": 32, "num_layers": 1, "num_heads": 1}),
            RuntimeOptions(),
            "no native kernels for the backbone transformer",
        ),
    ],
)
def test_what_it_cannot_run_is_named(
    config: ModelConfig, options: RuntimeOptions, reason: str
) -> None:
    if not config.backbone_options:
        config = small_model().config
    assert reason in str(NativeRuntime.unavailable(config, options))


def test_environment_variables_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.ISA_VARIABLE, "mmx")
    with pytest.raises(CommandError, match="LRAM_NATIVE_ISA is 'mmx'; expected one of portable, "):
        make_runtime(small_model(), "auto", RuntimeOptions())
    monkeypatch.delenv(library.ISA_VARIABLE)
    monkeypatch.setenv(CPU_VARIABLE, "9999")
    with pytest.raises(CommandError, match="LRAM_NATIVE_CPU is '9999'; expected none or one of"):
        NativeRuntime(small_model(), RuntimeOptions(threads=2))
    monkeypatch.setenv(CPU_VARIABLE, "none")
    assert NativeRuntime(small_model(), RuntimeOptions(threads=2)).describe().endswith("2 threads)")
