"""Every setting of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MIXES = ("embodiment", "ticks", "dataset", "task")
"""What may count the same in training: every embodiment, tick, dataset or task."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`lram_core.training.train.train`.

    The paper's recipe (appendix on training) where nothing else is said: AdamW, linear warm-up,
    cosine decay, no weight decay on biases, norms and embeddings, gradient clipping, no dropout.

    Attributes:
        backbone, backbone_options: see :mod:`lram_core.backbones`.
        bins: bins an action dimension. spread: standard deviation of a label's bell curve over
            them, in bins; 0 for one-hot labels, see :func:`lram_core.training.batch.spread_loss`.
        batch: parallel streams. context: ticks a window.
        span, stride: episodes of one task's history that a state is carried over, taken every
            ``stride`` episodes, see :class:`lram_core.data.stream.Spans`. With a span above 1
            nothing is held out: a history has no episode to spare.
        steps: optimiser steps. minutes: stop (with the schedule's end) when this much time is
            used; 0 for no limit.
        optimizer: ``adamw`` or ``muon``, see :mod:`lram_core.training.optimizers`.
        lr, lr_end, warmup, weight_decay, clip, betas: of the optimiser and its schedule.
        init: bundle with the same backbone to start from; empty for random weights. Embodiments
            that it does not have get embeddings, heads and statistics of their own.
        freeze_shared: do not train what embodiments share, see
            :class:`lram_core.joint_model.JointModel`.
        mix: what counts the same, one of MIXES: every embodiment (inside it, every tick), every
            tick, every dataset or every task.
        ema: decay of the weights' running average, which is what the bundle gets; 0 for none.
        held_out: fraction of each task's episodes kept for validation.
        return_jitter: see :func:`lram_core.data.stream.window_stream`.
        target_quantile: quantile of a task's demonstrated returns to ask for in control.
        seed: of initialisation and batches.
        device: ``cpu``, ``cuda`` or ``auto``. bf16: autocast (the recurrence stays in float32).
        compile: compile the network with ``torch.compile``.
        evaluate_every, evaluation_windows: validation interval in steps, and its size.
        checkpoint_every: interval in steps.
    """

    backbone: str = "xlstm"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    bins: int = 256
    spread: float = 0.0
    batch: int = 16
    context: int = 50
    span: int = 1
    stride: int = 1
    steps: int = 20_000
    minutes: float = 0.0
    optimizer: str = "muon"
    init: str = ""
    freeze_shared: bool = False
    mix: str = "embodiment"
    lr: float = 5e-3
    lr_end: float = 1e-6
    warmup: int = 100
    weight_decay: float = 0.01
    clip: float = 0.25
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.999
    held_out: float = 0.025
    return_jitter: float = 0.25
    target_quantile: float = 0.5
    seed: int = 0
    device: str = "auto"
    bf16: bool = True
    compile: bool = False
    evaluate_every: int = 500
    evaluation_windows: int = 8
    checkpoint_every: int = 500
