"""The benchmark of the training kernels: every kind is compared, and tells errors and times."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import kernel_tiles, kernels
from lram_core.accelerators import SWITCH
from lram_core.kernels import mlstm_output, mlstm_window

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [("sLSTM", (2, 10, 2, 16)), ("selective scan", (2, 10, 8, 8)), ("mLSTM layer", (2, 20, 16, 2))],
)
def test_kernels_and_pytorch_are_compared(
    kind: str, sizes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "on")  # what it was comes back afterwards
    monkeypatch.setattr("lram_core.accelerators._on_gpu", lambda x: True)
    row = kernels.measure(kind, sizes, 1, DEVICE)
    assert 0 < row["error"] < (0.02 if DEVICE == "cuda" else 1e-5)  # other sums, so not zero
    assert all(row[name]["backward_s"] > 0 for name in ("kernels", "pytorch"))
    report = {"machine": "some", "torch": "2", "rounds": 1, "rows": [row]}
    assert f"| {kind} | {sizes[0]} × {sizes[1]}, " in kernels.markdown(report)["kernels"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kernels.main([])
    assert "run on a GPU, and none is here" in capsys.readouterr().err


def test_tiles_that_change_the_result_or_do_not_run_are_told() -> None:
    every = kernel_tiles.kernels(2, 20, 64, 2, DEVICE, torch.float32)
    names = [kernel.name for kernel in every]
    assert len(set(names)) == len(names) == 8
    window = next(k for k in every if k.name == "mlstm_window.FORWARD")
    today = mlstm_window.FORWARD

    def run() -> list[torch.Tensor]:
        if mlstm_window.FORWARD.rows == 4:
            return [torch.ones(1)]
        if mlstm_window.FORWARD.rows == 32:
            raise RuntimeError("out of resource")
        return window.run()[:1]

    kernel = window._replace(changes=[{"rows": 16}, {"rows": 4}, {"rows": 32}], run=run)
    found = [(tiles.rows, result) for tiles, result in kernel_tiles.attempts(kernel, lambda _: 1.0)]
    assert found[:2] == [(today.rows, 1.0), (16, 1.0)]
    assert found[2][0] == 4
    assert str(found[2][1]) != "1.0"
    assert found[3] == (32, "out of resource")
    assert mlstm_window.FORWARD is today


def test_some_kernels_by_name() -> None:
    every = kernel_tiles.kernels(2, 20, 64, 2, DEVICE, torch.float32)
    assert kernel_tiles.chosen(every, None) == every
    name = "mlstm_window.BACKWARD"
    (kernel,) = kernel_tiles.chosen(every, [name])
    assert kernel.name == name
    # Other tiles, other partial sums, the same result: all that is compared is written.
    some = kernel._replace(changes=[{"rows": 16}, {"rows": 32}])
    assert [result for _, result in kernel_tiles.attempts(some, lambda _: 1.0)] == [1.0] * 3
    with pytest.raises(ValueError, match=r"no kernel is called mlstm\.X; there are mlstm_inputs"):
        kernel_tiles.chosen(every, ["mlstm.X", name])


def test_the_fastest_tiles_are_written_where_they_are_read(tmp_path: Path) -> None:
    tiles = mlstm_output.Tiles(values=640, warps=1, registers=None, programs=1188)
    assert kernel_tiles.written(tiles) == "Tiles(values=640, warps=1, programs=1188)"
    file = tmp_path / "kernel.py"
    file.write_text("FORWARD = Tiles(rows=1, warps=2)\nBACKWARD = Tiles(rows=1, warps=2)\n")
    kernel_tiles.write(file, "BACKWARD", mlstm_window.Tiles(rows=16, warps=8))
    lines = ["FORWARD = Tiles(rows=1, warps=2)", "BACKWARD = Tiles(rows=16, warps=8)"]
    assert file.read_text().splitlines() == lines
