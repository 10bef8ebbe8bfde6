"""What is measured: models, ways of running them, and what a user would run in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import SIZES, size_options
from lram_core.bench.bench import open_way, precisions_of
from lram_core.runtimes import RUNTIMES
from lram_core.runtimes.base import FloatArray, Runtime, RuntimeOptions

Tick = Callable[[FloatArray, float, float], object]
"""Takes observation, return-to-go and the last reward; returns when the action is known."""

# Meta-World's: what the model is measured with is what the shipped policies have.
OBSERVATION_SIZE, ACTION_SIZE = 39, 4
TOKENS = 3


@dataclass(frozen=True)
class Candidate:
    """Something that can run a control tick.

    Attributes:
        model: ``xlstm``, ``xlstm-h128``, ``mamba``, ``transformer``, …
        way: how it is run, e.g. ``native int8``.
        precision: of its weights.
        tick: runs one whole tick: embedding, backbone, head, argmax.
        context: control ticks in the cache of a Transformer; None for a recurrent model.
    """

    model: str
    way: str
    precision: str
    tick: Tick
    context: int | None = None


def random_model(model: str, size: str, context: int | None = None) -> ActionModel:
    """Return a model with random weights.

    Args:
        model: backbone, or a backbone with a suffix of its size's name (``xlstm-h128``).
        size: as in :data:`lram_core.backbones.SIZES`.
        context: of a Transformer, in control ticks.
    """
    backbone, _, suffix = model.partition("-")
    overrides = {} if context is None else {"context": context}
    options = size_options(backbone, f"{size}-{suffix}" if suffix else size, **overrides)
    torch.manual_seed(0)
    config = ModelConfig(OBSERVATION_SIZE, ACTION_SIZE, backbone=backbone, backbone_options=options)
    return ActionModel(config).eval()


def exists(model: str, size: str) -> bool:
    """Whether a model comes in that size."""
    backbone, _, suffix = model.partition("-")
    return (f"{size}-{suffix}" if suffix else size) in SIZES.get(backbone, {})


def runtime_candidates(
    name: str,
    model: ActionModel,
    options: RuntimeOptions,
    ways: list[tuple[str, str]],
    context: int | None = None,
) -> tuple[list[Candidate], list[str]]:
    """Return a candidate for each way that this machine has, and the reasons of the others.

    Args:
        name: of the model.
        ways: (runtime, precision) to try.
        context: see :class:`Candidate`.
    """
    candidates, absent = [], []
    for runtime_name, precision in ways:
        runtime, way = open_way(model, runtime_name, precision, options)
        if runtime is None:
            absent.append(f"{name}: {runtime_name} {precision}: {way.unavailable}")
            continue
        if context is not None:
            fill_context(runtime)
        label = f"{runtime_name} {way.precision}"
        candidates.append(Candidate(name, label, way.precision, tick_of(runtime), context))
    return candidates, absent


def all_ways(runtimes: list[str] | None = None) -> list[tuple[str, str]]:
    """Every (runtime, precision) there is, or those of the runtimes named."""
    return [(name, p) for name in runtimes or RUNTIMES for p in precisions_of(name)]


def package_candidate(name: str, model: ActionModel, device: torch.device) -> Candidate:
    """The ``xlstm`` package's block stack with the same weights, stepped once a token.

    Embedding, head and argmax around it are ours: the package has none.
    """
    # Here, as its import looks for a CUDA toolkit where there is a GPU, and fails without one.
    from xlstm import mLSTMBlockConfig, mLSTMLayerConfig, xLSTMBlockStack, xLSTMBlockStackConfig

    config = model.backbone.config
    stack = xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=config.num_heads)),
            context_length=8,
            num_blocks=config.num_layers,
            embedding_dim=config.d_model,
        )
    )
    # The same memory, not a copy: at 206M a copy is 0.8 GB.
    stack.load_state_dict(model.backbone.state_dict(), assign=True)
    stack.to(device).eval()
    state: dict[str, object] = {}

    @torch.inference_mode()
    def tick(observation: FloatArray, return_to_go: float, reward: float) -> object:
        nonlocal state
        tokens = model.tick_tokens(
            torch.tensor(observation, device=device).unsqueeze(0),
            torch.tensor([return_to_go], device=device),
            torch.tensor([reward], device=device),
        )
        for number in range(tokens.shape[1]):
            hidden, state = stack.step(tokens[:, number : number + 1], state)
        return model.logits(hidden[:, -1]).argmax(-1).cpu()

    return Candidate(name, f"xlstm package .step × {TOKENS}", "fp32", tick)


def fill_context(runtime: Runtime) -> None:
    """Fill a Transformer's cache: all but the first ticks of a long rollout find it full."""
    rng = np.random.default_rng(0)
    state = runtime.state()
    for name, value in state.items():
        if name == "position":
            value[...] = next(v for n, v in state.items() if n.endswith(".k")).shape[-2]
        else:
            value[...] = 0.5 * rng.standard_normal(value.shape, dtype=np.float32)
    runtime.load_state(state)


def tick_of(runtime: Runtime) -> Tick:
    """Return a whole tick in a runtime."""

    def tick(observation: FloatArray, return_to_go: float, reward: float) -> object:
        runtime.tokenise(observation, return_to_go, reward)
        return runtime.step()

    return tick
