"""A million ticks without a reset: is the last tick as fast, as small and as right as the first?

    python -m benchmarks.soak --bundle models/metaworld-ml45 --json benchmarks/results/soak.json

- **Latency**: the state of tick 1,000 is kept, and at the end a second runtime goes on from it, in
  turns with the one that is a million ticks old. So both are timed on the same machine at the same
  moment; the medians measured on the way are reported as well.
- **Memory**: resident set on the way; and what Python objects (tracemalloc) and the process (RSS)
  grow by over 100,000 more ticks.
- **Drift**: afterwards the same inputs through PyTorch in float64, chunkwise, from the first tick
  to ``--reference-ticks``: bins at every tick, state and logits at about sixty of them.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import time
import tracemalloc
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.candidates import random_model
from benchmarks.interleave import Budget, take_turns
from benchmarks.output import write_json
from lram_core.action_model import ActionModel
from lram_core.bench.inputs import Inputs, RandomWalk
from lram_core.bundle import load_bundle
from lram_core.device import resolve_device
from lram_core.machine import machine_name
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import Runtime, RuntimeOptions

BLOCK = 1000
CHECKPOINTS = 60
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
    block = min(BLOCK, args.ticks)
    course = Course(model, runtime, block, args.ticks)
    walk = RandomWalk(model)
    runtime.reset()
    for number in range(course.blocks):
        course.run(number, walk.take(block))
        if number % 100 == 99:
            print(f"tick {(number + 1) * block:,}: p50 {course.p50[number]:.4f} ms", flush=True)
    first = min(YOUNG // block, course.blocks) - 1
    young.load_state(course.states[first])
    ages = take_turns(
        {"young": _ticking(young, walk.take(256)), "old": _ticking(runtime, walk.take(256))},
        Budget(args.compare_ticks, 60.0, 100),
    )
    found = {
        "ticks": course.blocks * block,
        "block": block,
        "p50_ms": course.p50.tolist(),
        "p99_ms": course.p99.tolist(),
        "rss_MB": course.rss.tolist(),
        "p50_ms_young": ages["young"].p50,
        "p50_ms_old": ages["old"].p50,
        "old_over_young": ages["old"].p50 / ages["young"].p50,
        "state_finite": bool(course.finite.all()),
        "rss_MB_growth": float(course.rss[-1] - course.rss[course.blocks // 100]),
        "allocation": allocation(runtime, walk, args.allocation_ticks),
    }
    return found | drift(model, course, min(args.reference_ticks, found["ticks"]))


class Course:
    """What is kept of a run. All of it is allocated, and touched, before the first tick: what the
    process grows by is the runtime's."""

    def __init__(self, model: ActionModel, runtime: Runtime, block: int, ticks: int) -> None:
        self.blocks, self._block, self._runtime = ticks // block, block, runtime
        self.p50, self.p99, self.rss = np.ones((3, self.blocks))
        self.finite = np.ones(self.blocks, bool)
        actions, bins = model.config.action_size, model.config.bins
        self.bins = np.ones((self.blocks * block, actions), np.int16)
        marked = {0, self.blocks - 1, min(YOUNG // block, self.blocks) - 1}
        marked |= set(np.geomspace(1, self.blocks, CHECKPOINTS).round().astype(int) - 1)
        self.states = {
            int(n): {k: np.ones_like(v) for k, v in runtime.state().items()} for n in marked
        }
        self.logits = {n: np.ones((actions, bins), np.float32) for n in self.states}
        self._times = np.ones(block)
        self._last = np.ones((actions, bins), np.float32)

    def run(self, number: int, inputs: Inputs) -> None:
        """Run a block and keep its figures."""
        rows = slice(number * self._block, (number + 1) * self._block)
        run_block(self._runtime, inputs, self._times, self._last, self.bins[rows])
        state = self._runtime.state()
        self.finite[number] = all(bool(np.isfinite(value).all()) for value in state.values())
        # The first tick of a block has no reward token.
        times = 1e3 * self._times[min(1, self._block - 1) :]
        self.p50[number], self.p99[number] = np.quantile(times, [0.5, 0.99])
        self.rss[number] = rss_bytes() / 1e6
        if number in self.states:
            self.logits[number][...] = self._last
            for name, value in state.items():
                self.states[number][name][...] = value


def drift(model: ActionModel, course: Course, ticks: int) -> dict[str, Any]:
    """Run the same inputs in float64 and compare at the checkpoints; bins at every tick."""
    reference, walk = Reference(model), RandomWalk(model)
    block = len(course.bins) // course.blocks
    points, equal = [], 0.0
    blocks = ticks // block
    for number in range(blocks):
        exact = reference.run(walk.take(block))
        rows = slice(number * block, (number + 1) * block)
        equal += float((course.bins[rows] == exact.argmax(-1)).mean())
        if number in course.states:
            error = float(np.abs(course.logits[number] - exact[-1]).max())
            points.append(
                {
                    "tick": (number + 1) * block,
                    "state_error": reference.error(course.states[number]),
                    "logit_error": error / float(np.abs(exact[-1]).max()),
                }
            )
    return {
        "reference_ticks": blocks * block,
        "drift": points,
        "bins_equal": equal / blocks if blocks else None,
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
    """Return what ``ticks`` ticks leave behind: bytes of Python objects, and of the process.

    Objects that this file or tracemalloc holds are not counted: they are the measurement's.
    """
    tick = _ticking(runtime, walk.take(256))
    others = [tracemalloc.Filter(False, name) for name in (__file__, tracemalloc.__file__)]

    def held(count: int) -> tuple[int, int]:
        for number in range(count):
            tick(number)
        gc.collect()
        resident = rss_bytes()
        traces = tracemalloc.take_snapshot().filter_traces(others).traces
        return sum(trace.size for trace in traces), resident

    tracemalloc.start()
    held(1000)
    (before, small), (after, large) = held(1000), held(ticks)
    tracemalloc.stop()
    return {"ticks": ticks, "python_bytes": after - before, "rss_bytes": large - small}


def rss_bytes() -> int:
    """Resident set of this process."""
    file = os.open("/proc/self/statm", os.O_RDONLY)  # pathlib would leave a string behind
    try:
        return int(os.read(file, 100).split()[1]) * 4096
    finally:
        os.close(file)


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
        write_json(report, args.json)
    if args.plot:
        from benchmarks.plots import soak_plot

        soak_plot(report, args.plot)
    from benchmarks.soak_table import markdown

    print(markdown(report))


if __name__ == "__main__":
    main()
