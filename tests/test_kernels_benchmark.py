"""The benchmark of the training kernels: every kind is compared, and tells errors and times."""

from __future__ import annotations

import pytest
import torch

from benchmarks import kernels
from lram_core.accelerators import SWITCH

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
