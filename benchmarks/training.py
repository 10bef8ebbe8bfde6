"""How fast is a training step? Ours against the official packages, trained the same way.

    python -m benchmarks.training --json benchmarks/results/training.json

A step is what the trainer does with a batch: embedding, backbone, head, cross-entropy, backward
pass, gradient clipping, AdamW. The same embedding and head stand around every backbone, with the
same weights where the peer's layout is ours. Ours runs as in the trainer, with episode starts
inside the windows and, but for the Transformer, the state carried over them; the peers have
neither. Both also with ``torch.compile``, block by block, which is ``--compile`` in ``lram train``.

All take turns in one process on one thread. On a CPU processor time counts, which other programs on
the machine change less than the clock on the wall. Precision is each one's default: the peers'
float32, ours as in the trainer, see :mod:`lram_core.backbones.products`; where that is bfloat16,
ours in float32 and the peers under autocast take turns too. On a GPU (``--device cuda``) all
products are in bfloat16 by autocast, time is that of the clock until the GPU is done, and the model
FLOP/s utilisation is told as the trainer does, each of the products that it makes: ours makes none
in the last block for tokens that no action is read off and no other token needs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2Model, MambaConfig, MambaModel
from xlstm import (
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from benchmarks.candidates import ACTION_SIZE, OBSERVATION_SIZE, exists, random_model
from benchmarks.output import write_json
from benchmarks.training_table import markdown
from lram_core.action_model import ACTION_TOKENS, TOKENS_PER_TICK, ActionModel
from lram_core.backbones.mamba import STATE_SIZE, from_official
from lram_core.backbones.products import has_bf16_units
from lram_core.errors import listed
from lram_core.machine import machine_name
from lram_core.training.batch import mixed_precision
from lram_core.training.config import TrainConfig
from lram_core.training.parallel import compile_blocks
from lram_core.training.speed import BACKWARD, peak_flops

MODELS = ("xlstm", "xlstm-7:1", "mamba", "transformer")
PEERS = {
    "xlstm": "xlstm package",
    "xlstm-7:1": "xlstm package",
    "mamba": "transformers' Mamba",
    "transformer": "transformers' GPT-2",
}
COMPILED = ", compiled"
EXACT, ROUNDED = ", float32", ", autocast"
CLIP, LR = 0.25, 1e-4

Batch = dict[str, Tensor]


class Peer(nn.Module):
    """An action model whose backbone is another package's.

    Attributes:
        around: embedding and head; its own backbone is not used.
        stack: (B, S, d_model) → (B, S, d_model).
    """

    def __init__(self, around: ActionModel, stack: nn.Module, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self.around, self.stack, self._run = around, stack, run
        around.backbone = nn.Identity()  # type: ignore[assignment]

    def forward(self, batch: Batch) -> Tensor:
        tokens = self.around.tokens(batch["observations"], batch["to_go"], batch["rewards"])
        hidden = self._run(self.stack, tokens)
        return self.around.logits(hidden[:, ACTION_TOKENS])


def peer(model: str, size: str, ticks: int) -> Peer:
    """Return another package's model of the same shape and, but for GPT-2, the same weights."""
    around = random_model(model, size).train()
    backbone, shape = around.backbone, around.backbone.config
    tokens = TOKENS_PER_TICK * ticks
    if model.startswith("xlstm"):
        slstm = sLSTMBlockConfig(
            slstm=sLSTMLayerConfig(num_heads=shape.slstm_heads, backend="vanilla")
        )
        stack = xLSTMBlockStack(
            xLSTMBlockStackConfig(
                mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=shape.num_heads)),
                slstm_block=slstm if shape.slstm_at else None,
                slstm_at=list(shape.slstm_at),
                context_length=tokens,
                num_blocks=shape.num_layers,
                embedding_dim=shape.d_model,
            )
        )
        stack.load_state_dict(backbone.state_dict())
        return Peer(around, stack, lambda stack, x: stack(x))
    if model == "mamba":
        stack = MambaModel(
            MambaConfig(
                hidden_size=shape.d_model,
                num_hidden_layers=shape.num_layers,
                vocab_size=1,
                state_size=STATE_SIZE,
                use_cache=False,
            )
        )
        assert set(from_official(stack.state_dict())) == set(backbone.state_dict())
        stack.load_state_dict(backbone.state_dict(), strict=False)
    else:
        stack = GPT2Model(
            GPT2Config(
                n_embd=shape.d_model,
                n_layer=shape.num_layers,
                n_head=shape.num_heads,
                n_positions=tokens,
                vocab_size=1,
                activation_function="gelu",
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                use_cache=False,
            )
        )
    return Peer(around, stack, lambda stack, x: stack(inputs_embeds=x).last_hidden_state)


def random_batch(batch: int, ticks: int, bins: int, device: str = "cpu") -> Batch:
    """Return windows of which each eighth tick or so starts an episode in one of the streams."""
    rng = torch.Generator().manual_seed(0)
    shape = (batch, ticks)
    drawn = {
        "observations": torch.randn(*shape, OBSERVATION_SIZE, generator=rng),
        "to_go": torch.randn(shape, generator=rng),
        "rewards": torch.randn(shape, generator=rng),
        "labels": torch.randint(bins, (*shape, ACTION_SIZE), generator=rng),
        "start": torch.rand(shape, generator=rng) < 1 / (8 * batch),
    }
    return {name: value.to(device) for name, value in drawn.items()}


def stepper(
    network: nn.Module,
    forward: Callable[[], Tensor],
    labels: Tensor,
    precision: Callable[[], AbstractContextManager[None]],
) -> Callable[[], Tensor]:
    """Return what makes one training step and returns its loss."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, fused=True)

    def step() -> Tensor:
        with precision():
            logits = forward()
        loss = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        return loss.detach()

    return step


def ours(model: ActionModel, batch: Batch, carry: bool) -> Callable[[], Tensor]:
    """Return the trainer's forward pass, which may carry the state from call to call."""
    state = model.init_state(len(batch["start"]), batch["start"].device) if carry else None

    def forward() -> Tensor:
        nonlocal state
        logits, after = model(
            *(batch["observations"], batch["to_go"], batch["rewards"], batch["start"]),
            *(state, carry),
        )
        if carry:
            state = {name: value.detach().contiguous() for name, value in after.items()}
        return logits  # type: ignore[no-any-return]

    return forward


def same_loss(model: str, size: str, ticks: int) -> float | None:
    """Return how far the peer's loss is from ours, same weights and inputs, from a fresh state."""
    if model == "transformer":
        return None  # other layouts and positions
    batch = random_batch(2, ticks, random_model(model, size).config.bins)
    with torch.no_grad():
        logits = [
            random_model(model, size)(batch["observations"], batch["to_go"], batch["rewards"])[0],
            peer(model, size, ticks)(batch),
        ]
    losses = [F.cross_entropy(x.flatten(0, -2), batch["labels"].flatten()) for x in logits]
    return abs(float(losses[0] - losses[1]))


def contestants(args: argparse.Namespace, model: str, size: str) -> dict[str, Callable[[], Tensor]]:
    """Return name → what makes one training step: ``ours``, ``peer``, and both compiled."""
    bins = random_model(model, size).config.bins
    batch = random_batch(args.batch, args.context, bins, args.device)
    # A GPT-2 sees no token of the window before either.
    carry = model != "transformer" and args.carry
    labels, gpu = batch["labels"], args.device != "cpu"
    autocast = partial(torch.autocast, args.device, torch.bfloat16)
    trainers, peers = (autocast, autocast) if gpu else (as_trained, nullcontext)
    mines, others = {"": trainers}, {"": peers}
    if args.compile:
        mines[COMPILED], others[COMPILED] = trainers, peers
    if not gpu and has_bf16_units():
        mines[EXACT], others[ROUNDED] = nullcontext, autocast
    steps = {}
    for suffix, precision in mines.items():
        mine = random_model(model, size).train().to(args.device)
        if suffix == COMPILED:
            compile_blocks(mine.backbone)
        steps["ours" + suffix] = stepper(mine, ours(mine, batch, carry), labels, precision)
    for suffix, precision in others.items():
        other = peer(model, size, args.context).to(args.device)
        if suffix == COMPILED:
            compile_blocks(other.stack)
        steps["peer" + suffix] = stepper(other, partial(other, batch), labels, precision)
    return steps


def as_trained() -> AbstractContextManager[None]:
    """Return the precision of the trainer's products on a CPU."""
    return mixed_precision(torch.device("cpu"), TrainConfig())


def forward_flops(args: argparse.Namespace, model: str, size: str) -> dict[str, int]:
    """Return the FLOPs of a forward pass, of ``ours`` and ``peer``; products alone count."""
    mine = random_model(model, size).to(args.device)
    batch = random_batch(args.batch, args.context, mine.config.bins, args.device)
    other = peer(model, size, args.context).to(args.device)
    found = {}
    for name, run in (("ours", ours(mine, batch, carry=False)), ("peer", partial(other, batch))):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run()
        found[name] = int(counter.get_total_flops())
    return found


def clock(device: str) -> float:
    """Return seconds: of the processor, or until the GPU has done all it was told to."""
    if device == "cpu":
        return process_time()
    torch.cuda.synchronize()
    return perf_counter()


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Time all contestants; returns the report."""
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")  # as in the trainer
    groups = []
    for size in args.sizes:
        for model in (name for name in args.models if exists(name, size)):
            steps = contestants(args, model, size)
            seconds: dict[str, list[float]] = {name: [] for name in steps}
            for number in range(args.warm_up + args.rounds):
                for name in sorted(steps, reverse=bool(number % 2)):
                    begin = clock(args.device)
                    steps[name]()
                    if number >= args.warm_up:
                        seconds[name].append(clock(args.device) - begin)
            medians = {name: float(np.median(values)) for name, values in seconds.items()}
            groups.append(
                {
                    "size": size,
                    "model": model,
                    "peer": PEERS[model],
                    "parameters": sum(p.numel() for p in random_model(model, size).parameters()),
                    "seconds": seconds,
                    "timesteps_per_s": {
                        name: args.batch * args.context / value for name, value in medians.items()
                    },
                    "ratios": {
                        name: medians["peer"] / value
                        for name, value in medians.items()
                        if name != "peer"
                    },
                    "loss_difference": same_loss(model, size, args.context),
                }
            )
            if args.device != "cpu":
                flops = {
                    name: value * (1 + BACKWARD)
                    for name, value in forward_flops(args, model, size).items()
                }
                peak, source = peak_flops(torch.device(args.device), bf16=True)
                mfu = {
                    name: flops[name.partition(",")[0]] / value / peak
                    for name, value in medians.items()
                }
                groups[-1] |= {"mfu": mfu, "flops": flops, "peak": peak, "peak_is": source}
            ratios = ", ".join(f"{name} {r:.2f}" for name, r in groups[-1]["ratios"].items())
            print(f"{size} {model}: {ratios} × {PEERS[model]}", flush=True)
    return {
        "machine": machine_name(args.device),
        "device": args.device,
        "carry": args.carry,
        "torch": torch.__version__,
        "batch": args.batch,
        "context": args.context,
        "bf16": args.device != "cpu" or has_bf16_units(),
        "rounds": args.rounds,
        "groups": groups,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["d128"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--no-carry", dest="carry", action="store_false", help="no state carried")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--context", type=int, default=50, help="timesteps a window")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    unknown = [size for size in args.sizes if not any(exists(m, size) for m in args.models)]
    if unknown:
        parser.error(f"no model of {listed(args.models)} in size {listed(unknown)}")
    report = measure(args)
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["step"])


if __name__ == "__main__":
    main()
