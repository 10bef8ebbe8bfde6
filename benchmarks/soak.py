"""A million ticks without a reset: is the last tick as fast, as small and as right as the first?

    python -m benchmarks.soak --bundle models/metaworld-ml45 --json benchmarks/results/soak.json

- **Latency**: the state of tick 1,000 is kept, and at the end a second runtime goes on from it, in
  turns with the one that is a million ticks old. So both are timed on the same machine at the same
  moment; the medians measured on the way are reported as well.
- **Memory**: resident set on the way; and what Python objects (tracemalloc) and the process (RSS)
  grow by over 100,000 more ticks.
- **Drift**: the same inputs through PyTorch in float64, chunkwise, from the first tick to
  ``--reference-ticks``: state, logits and bins are compared at the end of every block.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import time
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.candidates import random_model
from benchmarks.interleave import Budget, take_turns
from lram_core.action_model import ActionModel
from lram_core.bench.inputs import Inputs, RandomWalk
from lram_core.bundle import load_bundle
from lram_core.device import resolve_device
from lram_core.machine import machine_name
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import Runtime, RuntimeOptions

BLOCK = 1000
YOUNG = 1000
"""Age in ticks of the state that the old one is compared with."""


class Reference:
    """The model in float64, many ticks at once."""

    def __init__(self, model: ActionModel) -> None:
        self._model = copy.deepcopy(model).cpu().double().eval()
        initial = self._model.init_state(1)
        self._state = {name: _double(value) for name, value in initial.items()}

    @torch.inference_mode()
    def run(self, inputs: Inputs) -> np.ndarray[Any, Any]:
        """Advance by all of ``inputs``; returns logits (T, action_size, bins)."""
        arrays = (inputs.observations, inputs.returns_to_go, inputs.rewards)
        tensors = [torch.from_numpy(a).double().unsqueeze(0) for a in arrays]
        logits, self._state = self._model(*tensors, state=self._state)
        return logits[0].numpy()

    def error(self, state: dict[str, Any]) -> float:
        """Largest difference of ``state`` from this one's, relative to each tensor's largest."""
        worst = 0.0
        for name, value in self._state.items():
            scale = max(float(value.abs().max()), 1e-30)
            worst = max(worst, float(np.abs(state[name] - value.numpy()).max()) / scale)
        return worst


def _double(value: torch.Tensor) -> torch.Tensor:
    return value.double() if value.is_floating_point() else value


def run_block(runtime: Runtime, inputs: Inputs, times: Any, logits: Any, bins: Any) -> None:
    """Run a block whose first tick has no reward waiting and whose last reward is taken.

    ``times`` (T,), ``logits`` of the last tick and ``bins`` (T, action_size) are written.
    """
    last = len(inputs) - 1
    for tick in range(last + 1):
        observation, to_go = inputs.observations[tick], float(inputs.returns_to_go[tick])
        reward = float(inputs.rewards[tick - 1]) if tick else None
        start = perf_counter()
        runtime.tokenise(observation, to_go, reward)
        found = runtime.step()
        times[tick] = perf_counter() - start
        bins[tick] = found
    logits[...] = runtime.logits
    runtime.advance_reward(float(inputs.rewards[last]))


def soak(
    model: ActionModel, runtime: Runtime, young: Runtime, args: argparse.Namespace
) -> dict[str, Any]:
    """Run the ticks; ``young`` is a second runtime of the same kind."""
    walk = RandomWalk(model)
    reference = Reference(model)
    block = min(BLOCK, args.ticks)
    actions, bins = model.config.action_size, model.config.bins
    times = np.ones(block)
    logits, chosen = np.zeros((actions, bins), np.float32), np.zeros((block, actions), np.int64)
    course: list[dict[str, Any]] = []
    kept = None
    finite = True
    runtime.reset()
    reference_ticks = min(args.reference_ticks, args.ticks)
    for end in range(block, args.ticks + 1, block):
        inputs = walk.take(block)
        run_block(runtime, inputs, times, logits, chosen)
        state = runtime.state()
        finite = finite and all(bool(np.isfinite(v).all()) for v in state.values())
        # The first tick of a block has no reward token; the medians leave it out.
        p50, p99 = np.quantile(times[1:] if block > 1 else times, [0.5, 0.99])
        point: dict[str, Any] = {
            "tick": end,
            "p50_ms": 1e3 * p50,
            "p99_ms": 1e3 * p99,
            "rss_MB": rss_bytes() / 1e6,
        }
        if end <= reference_ticks:
            exact = reference.run(inputs)
            largest = float(np.abs(exact[-1]).max())
            point["state_error"] = reference.error(state)
            point["logit_error"] = float(np.abs(logits - exact[-1]).max()) / largest
            point["bins_equal"] = float((chosen == exact.argmax(-1)).mean())
        course.append(point)
        if kept is None and end >= min(YOUNG, args.ticks):
            kept = state
        if end % (100 * block) == 0:
            print(f"tick {end:,}: p50 {point['p50_ms']:.3f} ms", flush=True)
    assert kept is not None
    young.load_state(kept)
    ages = take_turns(
        {"young": _ticking(young, walk.take(256)), "old": _ticking(runtime, walk.take(256))},
        Budget(args.compare_ticks, 60.0, 100),
    )
    compared = [p for p in course if "state_error" in p]
    return {
        "ticks": args.ticks,
        "course": course,
        "p50_ms_young": ages["young"].p50,
        "p50_ms_old": ages["old"].p50,
        "old_over_young": ages["old"].p50 / ages["young"].p50,
        "state_finite": finite,
        "reference_ticks": compared[-1]["tick"] if compared else 0,
        "state_error_max": max((p["state_error"] for p in compared), default=None),
        "state_error_last": compared[-1]["state_error"] if compared else None,
        "logit_error_max": max((p["logit_error"] for p in compared), default=None),
        "bins_equal": float(np.mean([p["bins_equal"] for p in compared])) if compared else None,
        "rss_MB_growth": course[-1]["rss_MB"] - course[min(len(course) - 1, 9)]["rss_MB"],
        "allocation": allocation(runtime, walk, args.allocation_ticks),
    }


def _ticking(runtime: Runtime, inputs: Inputs) -> Any:
    def tick(number: int) -> object:
        at = number % len(inputs)
        runtime.tokenise(
            inputs.observations[at], float(inputs.returns_to_go[at]), float(inputs.rewards[at])
        )
        return runtime.step()

    return tick


def allocation(runtime: Runtime, walk: RandomWalk, ticks: int) -> dict[str, Any]:
    """Return what ``ticks`` ticks leave behind: bytes of Python objects, and of the process."""
    tick = _ticking(runtime, walk.take(256))
    tracemalloc.start()
    for number in range(min(1000, ticks)):
        tick(number)
    gc.collect()
    before, resident = tracemalloc.get_traced_memory()[0], rss_bytes()
    for number in range(ticks):
        tick(number)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return {"ticks": ticks, "python_bytes": after - before, "rss_bytes": rss_bytes() - resident}


def rss_bytes() -> int:
    """Resident set of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("--bundle", type=Path, help="default: models/metaworld-ml45")
    subject.add_argument("--size", help="random weights of that size, e.g. d256")
    parser.add_argument("--model", default="xlstm", help="with --size: xlstm, xlstm-h128, mamba")
    parser.add_argument("--runtime", default="native")
    parser.add_argument("--precision", default="")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--reference-ticks", type=int, default=1_000_000)
    parser.add_argument("--compare-ticks", type=int, default=5000)
    parser.add_argument("--allocation-ticks", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    device = resolve_device(args.device)
    bundle = None if args.size else (args.bundle or Path("models/metaworld-ml45"))
    model = random_model(args.model, args.size) if bundle is None else load_bundle(bundle)[0]
    options = RuntimeOptions(device, args.precision, 1, bundle)
    begin = time.monotonic()
    runtime, young = (make_runtime(model, args.runtime, options) for _ in range(2))
    found = soak(model, runtime, young, args)
    report = {
        "machine": machine_name(device),
        "torch": torch.__version__,
        "subject": str(bundle) if bundle else f"{args.model} {args.size}, random weights",
        "runtime": runtime.describe(),
        "name": runtime.name,
        "precision": runtime.precision,
        "seconds": time.monotonic() - begin,
        **found,
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.plot:
        from benchmarks.plots import soak_plot

        soak_plot(report, args.plot)
    from benchmarks.soak_table import markdown

    print(markdown(report))


if __name__ == "__main__":
    main()
