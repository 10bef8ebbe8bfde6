"""Latency of a control tick: our step, the ``xlstm`` package's, a KV-cached Decision Transformer.

Backbones alone (no embedding, no head), batch 1, three tokens a tick, random weights, one run:
the candidates take turns tick by tick, so that a change of the machine's speed meets all alike.

    python -m benchmarks.tick_latency --sizes d256 16M --ticks 200 --json tick_latency.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from xlstm import mLSTMBlockConfig, mLSTMLayerConfig, xLSTMBlockStack, xLSTMBlockStackConfig

from benchmarks.peers.decision_transformer import SIZES as TRANSFORMER_SIZES
from benchmarks.peers.decision_transformer import DecisionTransformer
from lram_core.backbones import make_config, size_options
from lram_core.backbones.xlstm import XLSTM
from lram_core.machine import machine_name

TOKENS = 3
OURS = "lram_ros step, 3 tokens at once"
PACKAGE = "xlstm package .step, 3 times"
Candidate = Callable[[torch.Tensor], object]


def ours(size: str, device: str) -> tuple[Candidate, XLSTM]:
    model = XLSTM(make_config("xlstm", size_options("xlstm", size))).to(device).eval()
    state = model.init_state(1, device)

    def tick(tokens: torch.Tensor) -> torch.Tensor:
        nonlocal state
        hidden, state = model.step(tokens, state)
        return hidden

    return tick, model


def package(size: str, device: str, weights: XLSTM) -> Candidate:
    shape = size_options("xlstm", size)
    stack = xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=shape["num_heads"])),
            context_length=8,
            num_blocks=shape["num_layers"],
            embedding_dim=shape["d_model"],
        )
    ).to(device)
    stack.load_state_dict(weights.state_dict())
    stack.eval()
    state: dict[str, object] = {}

    def tick(tokens: torch.Tensor) -> torch.Tensor:
        nonlocal state
        for t in range(TOKENS):
            hidden, state = stack.step(tokens[:, t : t + 1], state)
        return hidden

    return tick


def transformer(size: str, device: str, context: int) -> tuple[Candidate, DecisionTransformer]:
    model = DecisionTransformer(**TRANSFORMER_SIZES[size], capacity=TOKENS * context)
    model = model.to(device).eval()
    model.cache = [(k.to(device), v.to(device)) for k, v in model.cache]
    # The tick at the end of the context, where a rollout spends all but its first ticks.
    filled = TOKENS * (context - 1)
    return lambda tokens: model.step(tokens, filled), model


def block_parameters(model: XLSTM | DecisionTransformer) -> float:
    """Parameters of the blocks in millions, what both kinds have in common."""
    return sum(parameter.numel() for parameter in model.blocks.parameters()) / 1e6


@torch.inference_mode()
def measure(
    candidates: dict[str, Candidate], d_model: int, ticks: int, device: str
) -> dict[str, list[float]]:
    """Return seconds of each tick by candidate; ten ticks each are warm-up."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for tick in range(ticks + 10):
        tokens = torch.randn(1, TOKENS, d_model, device=device)
        for name, candidate in candidates.items():
            if device == "cuda":
                torch.cuda.synchronize()
            start = perf_counter()
            candidate(tokens)
            if device == "cuda":
                torch.cuda.synchronize()
            if tick >= 10:
                times[name].append(perf_counter() - start)
    return times


def summarise(times: list[float], base: float) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=100)
    median = statistics.median(times)
    return {
        "p50_ms": 1e3 * median,
        "p99_ms": 1e3 * cuts[98],
        "max_ms": 1e3 * max(times),
        "ratio_to_ours": median / base,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--sizes", nargs="+", choices=list(TRANSFORMER_SIZES), default=["d128", "d256", "16M"]
    )
    parser.add_argument("--contexts", nargs="+", type=int, default=[50, 1000])
    parser.add_argument("--ticks", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    where = machine_name(args.device)
    print(f"{where}, {args.threads} thread(s), torch {torch.__version__}, {args.ticks} ticks\n")
    print("| size | candidate | parameters M | p50 ms | p99 ms | max ms | p50 / ours |")
    print("|---|---|---|---|---|---|---|")
    results: dict[str, dict[str, dict[str, float]]] = {}
    for size in args.sizes:
        step, model = ours(size, args.device)
        candidates = {OURS: step, PACKAGE: package(size, args.device, model)}
        parameters = dict.fromkeys(candidates, block_parameters(model))
        for context in args.contexts:
            name = f"Decision Transformer, KV cache, context {context}"
            candidates[name], peer = transformer(size, args.device, context)
            parameters[name] = block_parameters(peer)
        times = measure(candidates, size_options("xlstm", size)["d_model"], args.ticks, args.device)
        base = statistics.median(times[OURS])
        results[size] = {
            name: {"parameters_M": parameters[name], **summarise(values, base)}
            for name, values in times.items()
        }
        for name, r in results[size].items():
            print(
                f"| {size} | {name} | {r['parameters_M']:.2f} | {r['p50_ms']:.2f} "
                f"| {r['p99_ms']:.2f} | {r['max_ms']:.2f} | {r['ratio_to_ours']:.2f} |"
            )
    if args.json:
        report = {
            "machine": where,
            "device": args.device,
            "threads": args.threads,
            "torch": torch.__version__,
            "ticks": args.ticks,
            "tokens_per_tick": TOKENS,
            "results": results,
        }
        args.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
