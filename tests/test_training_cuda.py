"""Training on a GPU: bfloat16, compiled, cut off and resumed, in parts, out of memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import compare
from lram_core.bundle import load_bundle
from lram_core.errors import CommandError
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import small_dataset
from lram_core.training.config import TrainConfig
from lram_core.training.optimizers import learning_rate
from lram_core.training.train import train

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="trains on a GPU")

GIB = 1 << 30
CLOSE = 0.005  # what bfloat16 does to a loss is a fiftieth of that
CONFIG = TrainConfig(
    backbone_options={"d_model": 32, "num_layers": 2, "num_heads": 2},
    bins=64,
    batch=8,
    context=16,
    steps=16,
    warmup=5,
    ema=0.9,
    device=DEVICE,
    evaluate_every=1,
    evaluation_windows=1,
    tracker="none",
)
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "xlstm": ("xlstm", {"num_heads": 2}),
    "xlstm-7:1": ("xlstm", {"num_heads": 2, "slstm_at": [1]}),
    "mamba": ("mamba", {}),
    "transformer": ("transformer", {"num_heads": 2, "context": 8}),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cuda") / "data"
    small_dataset(path, episodes=60)
    return path


def losses(data: Path, out: Path, config: TrainConfig) -> list[float]:
    """Train; returns the training loss of each row of the metrics."""
    run = out.with_name(f"{out.name}-run")
    train([data], out, run, config)
    with (run / "metrics.csv").open() as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", BACKBONES)
def test_bfloat16_learns_as_float32_on_the_cpu(data: Path, tmp_path: Path, name: str) -> None:
    backbone, options = BACKBONES[name]
    shape = {"d_model": 32, "num_layers": 2, **options}
    config = replace(CONFIG, backbone=backbone, backbone_options=shape)
    found = losses(data, tmp_path / "gpu", config)
    expected = losses(data, tmp_path / "cpu", replace(config, device="cpu"))
    assert len(found) == config.steps
    assert found[-1] < 0.97 * found[0]
    assert found == pytest.approx(expected, rel=CLOSE)

    model, _ = load_bundle(tmp_path / "gpu")
    inputs = RandomWalk(model).take(60)
    for runtime in ("torch", "cuda-graph"):
        model, _ = load_bundle(tmp_path / "gpu")
        on_gpu = make_runtime(model, runtime, RuntimeOptions(torch.device(DEVICE)))
        reference = TorchRuntime(load_bundle(tmp_path / "gpu")[0])
        assert compare(reference, on_gpu, inputs).passed, runtime


def test_a_cut_training_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checkpoint of step 8 holds losses that no row tells yet.
    config = replace(CONFIG, steps=12, evaluate_every=3, checkpoint_every=4)
    whole = losses(data, tmp_path / "whole", config)

    def stop(settings: TrainConfig, step: int, done: float) -> float:
        if step == 10:
            raise KeyboardInterrupt
        return learning_rate(settings, step, done)

    with monkeypatch.context() as patch:
        patch.setattr("lram_core.training.train.learning_rate", stop)
        with pytest.raises(KeyboardInterrupt):
            losses(data, tmp_path / "cut", config)
    resumed = losses(data, tmp_path / "cut", config)
    assert len(resumed) == len(whole) == 4
    assert resumed == pytest.approx(whole, rel=CLOSE)


def test_parts_of_a_batch_make_the_same_steps(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=8)
    whole = losses(data, tmp_path / "whole", config)
    parts = losses(data, tmp_path / "parts", replace(config, batch=4, accumulate=2))
    assert parts == pytest.approx(whole, rel=CLOSE)


@pytest.fixture
def two_gib_left() -> Iterator[None]:
    """A GPU whose memory is taken but for 2 GiB."""
    torch.ones(64, 64, device=DEVICE).mm(torch.ones(64, 64, device=DEVICE))  # the libraries' share
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(max(0, free - 2 * GIB), dtype=torch.uint8, device=DEVICE)
    yield
    del taken
    torch.cuda.empty_cache()


@pytest.mark.usefixtures("two_gib_left")
def test_too_little_memory_names_what_to_lower(data: Path, tmp_path: Path) -> None:
    shape = {"d_model": 256, "num_layers": 2}
    config = replace(CONFIG, backbone_options=shape, batch=512, context=256)
    message = r"too small for batch 512 of 256 ticks; try one of: batch=256 accumulate=2 "
    with pytest.raises(CommandError, match=message):
        train([data], tmp_path / "b", tmp_path / "run", config)
    assert not (tmp_path / "b").exists()
    # What it took is given back: a smaller training has room.
    found = losses(data, tmp_path / "small", replace(CONFIG, steps=2))
    assert np.isfinite(found).all()


def test_compiled_it_learns_the_same(data: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=8, backbone_options={**CONFIG.backbone_options, "num_layers": 1})
    found = losses(data, tmp_path / "gpu", replace(config, compile=True))
    expected = losses(data, tmp_path / "cpu", replace(config, device="cpu"))
    assert found == pytest.approx(expected, rel=CLOSE)
