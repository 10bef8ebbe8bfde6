"""Every setting of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field

Mix = Literal["embodiment", "ticks", "dataset", "task"]
MIXES = get_args(Mix)
"""What may count the same in training: every embodiment, tick, dataset or task."""


def _no_flag(value: object) -> object:
    # YAML has many words for true, and Python takes it for a 1.
    if isinstance(value, bool):
        raise ValueError("a number")
    return value


Count = Annotated[int, Field(ge=1), BeforeValidator(_no_flag)]
Whole = Annotated[int, Field(ge=0), BeforeValidator(_no_flag)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1), BeforeValidator(_no_flag)]
Positive = Annotated[float, Field(gt=0), BeforeValidator(_no_flag)]
NotNegative = Annotated[float, Field(ge=0), BeforeValidator(_no_flag)]
Fraction = Annotated[float, Field(ge=0, le=1), BeforeValidator(_no_flag)]


@dataclass(frozen=True)
class TrainConfig:
    """Settings of :func:`lram_core.training.train.train`.

    The paper's recipe (appendix on training) where nothing else is said: AdamW, linear warm-up,
    cosine decay, no weight decay on biases, norms and embeddings, gradient clipping, no dropout.
    The types are checked where settings are read, by :mod:`lram_core.training.settings`.

    Each setting is explained once, here: the manual's table of settings is made of this text.

    Attributes:
        backbone: sequence model: ``xlstm``, ``mamba`` or ``transformer``, see
            :mod:`lram_core.backbones`.
        backbone_options: shape of the backbone, such as ``d_model`` and ``num_layers``; those of
            the size, where ``lram train`` is given one.
        bins: bins an action dimension; of discrete actions at least their number.
        spread: standard deviation of a label's bell curve over the bins, in bins; 0 for one-hot
            labels, see :func:`lram_core.training.batch.spread_loss`.
        batch: parallel streams of one pass.
        context: ticks a window.
        span: episodes of one task's history that a state is carried over, see
            :class:`lram_core.data.stream.Spans`. Above 1 nothing is held out: a history has no
            episode to spare.
        stride: with a span above 1, take one episode of the history in so many.
        accumulate: passes, of other streams each, whose gradients make one optimiser step: as a
            batch so many times as large, in the memory of one.
        carry_state: go on from a window's state in the next one; otherwise every window begins
            with the initial state.
        steps: optimiser steps.
        minutes: stop (with the schedule's end) when this much time is used; 0 for no limit.
        optimizer: ``adamw``, or ``muon`` for the large matrices of the backbone with AdamW for
            the rest, see :mod:`lram_core.training.optimizers`.
        init: bundle with the same backbone to start from; empty for random weights. Embodiments
            that it does not have get embeddings, heads and statistics of their own.
        freeze_shared: do not train what embodiments share, see
            :class:`lram_core.joint_model.JointModel`. Needs ``init``.
        share_alike: embodiments with the same observation and action fields share their embedding,
            head and input statistics too. Their observation must tell which one it is of, where
            that matters.
        mix: what counts the same: every embodiment (inside it, every tick), every tick, every
            dataset or every task.
        lr: learning rate at its highest, after the warm-up.
        lr_end: learning rate that the cosine decay ends at.
        warmup: steps over which the learning rate rises linearly.
        weight_decay: decoupled weight decay of the matrices, as a factor on the learning rate.
            Biases, norms and embeddings do not decay.
        clip: largest norm of the gradient of all weights; a larger one is scaled down to it.
        betas: decay rates of AdamW's running means of the gradient and of its square.
        ema: decay a step of the weights' running average, which is what the bundle gets and what
            is validated; less in the first steps, and 0 for the weights themselves.
        held_out: fraction of each task's episodes kept for validation.
        return_jitter: standard deviation of the offset on an episode's return-to-go, in scaled
            units, see :func:`lram_core.data.stream.window_stream`.
        target_quantile: quantile of a task's demonstrated returns to ask for in control.
        seed: of initialisation and batches.
        device: ``cpu``, ``cuda`` or ``auto``.
        bf16: bfloat16 products on a GPU; the recurrence stays in float32.
        bf16_cpu: bfloat16 factors in the products with weights on a CPU, too, see
            :mod:`lram_core.backbones.products`; ``auto``: where the processor has units for that.
        compile: compile the network with ``torch.compile``.
        parallel: of several processes, started by ``torchrun``: ``ddp`` or ``fsdp``, see
            :mod:`lram_core.training.parallel`.
        evaluate_every: steps between two validations.
        evaluation_windows: batches of windows that a validation looks at, of each embodiment.
        checkpoint_every: steps between two checkpoints.
        tracker: where the metrics go besides ``metrics.csv``.
        wandb_project: project of Weights & Biases, where that is the tracker.
        rollout_every: steps between two rollouts in simulation; 0 for none.
        rollout_suite: suite to roll out in, or several with commas between them: those of the
            embodiments that the score is to be over.
        rollout_tasks: comma-separated tasks and splits to roll out. With several suites,
            ``suite:task`` is of one alone, and a task without a suite of each. The score is the
            mean over all tasks.
        rollout_episodes: episodes of each of these tasks.
        rollout_workers: processes that roll out; 1 for the trainer's own.
        keep: which weights the bundle gets: the ``last`` ones, or those of the ``best`` rollouts.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    backbone: str = "xlstm"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    bins: Annotated[int, Field(ge=2), BeforeValidator(_no_flag)] = 256
    spread: NotNegative = 0.0
    batch: Count = 16
    context: Count = 50
    span: Count = 1
    stride: Count = 1
    accumulate: Count = 1
    carry_state: bool = True
    steps: Count = 20_000
    minutes: NotNegative = 0.0
    optimizer: Literal["adamw", "muon"] = "muon"
    init: str = ""
    freeze_shared: bool = False
    share_alike: bool = False
    mix: Mix = "embodiment"
    lr: Positive = 5e-3
    lr_end: NotNegative = 1e-6
    warmup: Count = 100
    weight_decay: NotNegative = 0.01
    clip: Positive = 0.25
    betas: tuple[Fraction, Fraction] = (0.9, 0.99)
    ema: Fraction = 0.999
    held_out: Fraction = 0.025
    return_jitter: NotNegative = 0.25
    target_quantile: Fraction = 0.5
    seed: Seed = 0
    device: str = "auto"
    bf16: bool = True
    bf16_cpu: bool | Literal["auto"] = "auto"
    compile: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    evaluate_every: Count = 500
    evaluation_windows: Count = 8
    checkpoint_every: Count = 500
    tracker: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    wandb_project: str = "lram"
    rollout_every: Whole = 0
    rollout_suite: str = "metaworld"
    rollout_tasks: str = ""
    rollout_episodes: Count = 5
    rollout_workers: Count = 1
    keep: Literal["last", "best"] = "last"
