"""The kernels of training against what they stand for in PyTorch, on a GPU: errors and times.

    python -m benchmarks.kernels --json benchmarks/results/kernels.json

Each runs forward and backward on the same inputs as PyTorch's operations, with episode starts in
the windows. Times are medians of some rounds by the clock until the GPU is done; errors are
relative, of the outputs and of all gradients together, against float32.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.output import write_json
from lram_core.accelerators import SWITCH
from lram_core.backbones.layers import segments
from lram_core.backbones.mlstm_block import MLSTMLayer
from lram_core.backbones.xlstm import XLSTMConfig
from lram_core.machine import machine_name
from lram_core.selective_scan import selective_scan
from lram_core.slstm import ScalarState, slstm_scan

Run = Callable[[], list[Tensor]]
"""Runs forward; returns what a gradient is taken of."""
STARTS = 0.02
"""Share of the tokens that start an episode."""


def slstm(batch: int, length: int, heads: int, size: int, device: str) -> tuple[Run, list[Tensor]]:
    """The sLSTM's loop over tokens."""
    inputs = torch.randn(batch, length, 4, heads, size, device=device, requires_grad=True)
    kernel = (torch.randn(heads, 4 * size, size, device=device) / size**0.5).requires_grad_()
    state = ScalarState(*torch.zeros(4, batch, heads * size, device=device))
    starts = torch.rand(batch, length, device=device) < STARTS
    return lambda: [slstm_scan(inputs, kernel, state, starts)[0]], [inputs, kernel]


def scan(batch: int, length: int, width: int, states: int, device: str) -> tuple[Run, list[Tensor]]:
    """Mamba's selective scan."""
    x, dt = torch.randn(2, batch, length, width, device=device)
    write, read = torch.randn(2, batch, length, states, device=device)
    rates = -torch.arange(1.0, states + 1, device=device).expand(width, states)
    leaves = [v.clone().requires_grad_() for v in (x, 0.1 * dt.abs(), rates, write, read)]
    state = torch.zeros(batch, width, states, device=device)
    segment = segments(torch.rand(batch, length, device=device) < STARTS)
    return lambda: [selective_scan(*leaves, state, segment)[0]], leaves


def layer(
    batch: int, length: int, d_model: int, heads: int, device: str
) -> tuple[Run, list[Tensor]]:
    """A whole mLSTM layer with its large products, under autocast as in training on a GPU."""
    made = MLSTMLayer(XLSTMConfig(d_model=d_model, num_layers=1, num_heads=heads)).to(device)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    x = torch.randn(batch, length, d_model, device=device, requires_grad=True)
    segment = segments(torch.rand(batch, length, device=device) < STARTS)

    def run() -> list[Tensor]:
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return [made(x, None, None, segment, False)[0]]

    return run, [x, *made.parameters()]


KINDS = {"sLSTM": slstm, "selective scan": scan, "mLSTM layer": layer}
CASES: list[tuple[str, tuple[int, int, int, int]]] = [
    ("sLSTM", (64, 150, 4, 320)),
    ("sLSTM", (64, 600, 4, 16)),
    ("selective scan", (64, 150, 128, 16)),
    ("selective scan", (64, 150, 2560, 16)),
    ("mLSTM layer", (128, 150, 1280, 4)),
    ("mLSTM layer", (128, 150, 1280, 20)),
]
"""Kind → batch, tokens, and two sizes of the kind."""


def clock(device: str) -> float:
    """Seconds, once what the device was asked for is done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return perf_counter()


def timed(
    run: Run, leaves: list[Tensor], rounds: int, device: str
) -> tuple[float, float, list[Tensor]]:
    """Return seconds of a forward and of a backward pass, outputs and gradients."""
    forward, backward = [], []
    for number in range(rounds + 1):  # the first one compiles
        begin = clock(device)
        outputs = run()
        between = clock(device)
        weights = torch.linspace(-1, 1, outputs[0].numel(), device=device).view_as(outputs[0])
        gradients = torch.autograd.grad((outputs[0] * weights).sum(), leaves)
        end = clock(device)
        if number:
            forward.append(between - begin)
            backward.append(end - between)
    found = [outputs[0].detach(), *gradients]
    return statistics.median(forward), statistics.median(backward), found


def measure(
    kind: str, sizes: tuple[int, int, int, int], rounds: int, device: str
) -> dict[str, Any]:
    """Return one row of the report."""
    torch.manual_seed(0)
    run, leaves = KINDS[kind](*sizes, device)
    row: dict[str, Any] = {"kind": kind, "sizes": list(sizes)}
    found = {}
    for name, on in (("kernels", True), ("pytorch", False)):
        os.environ[SWITCH] = "on" if on else "off"
        forward, backward, found[name] = timed(run, leaves, rounds if on else 2, device)
        row[name] = {"forward_s": forward, "backward_s": backward}
    ours, theirs = (torch.cat([x.float().flatten() for x in found[n]]) for n in found)
    row["error"] = float((ours - theirs).norm() / theirs.norm())
    return row


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``kernels``."""
    lines = [
        f"{report['machine']}, torch {report['torch']}; medians of {report['rounds']} rounds.",
        "",
        "| | batch × tokens, sizes | kernels, ms | PyTorch, ms | times | error |",
        "|---|---|---|---|---|---|",
    ]
    for row in report["rows"]:
        batch, length, *rest = row["sizes"]
        ours, theirs = (
            [1e3 * row[n][k] for k in ("forward_s", "backward_s")] for n in ("kernels", "pytorch")
        )
        lines.append(
            f"| {row['kind']} | {batch} × {length}, {' × '.join(map(str, rest))} "
            f"| {ours[0]:.2f} + {ours[1]:.2f} | {theirs[0]:.1f} + {theirs[1]:.1f} "
            f"| {sum(theirs) / sum(ours):.1f} | {row['error']:.1e} |"
        )
    return {"kernels": "\n".join(lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("the kernels run on a GPU, and none is here")
    torch.set_float32_matmul_precision("high")  # as in the trainer
    report = {
        "machine": machine_name("cuda"),
        "torch": torch.__version__,
        "rounds": args.rounds,
        "rows": [measure(kind, sizes, args.rounds, "cuda") for kind, sizes in CASES],
    }
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["kernels"])


if __name__ == "__main__":
    main()
