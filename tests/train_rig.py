"""A training that takes a second."""

from __future__ import annotations

from lram_core.training.config import TrainConfig

TINY = TrainConfig(
    backbone_options={"d_model": 16, "num_layers": 1, "num_heads": 2},
    bins=16,
    batch=2,
    context=8,
    steps=4,
    warmup=2,
    device="cpu",
    evaluate_every=2,
    evaluation_windows=1,
)
