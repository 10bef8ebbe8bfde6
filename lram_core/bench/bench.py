"""Every runtime of a bundle on this machine: is it right, how fast, which rates does it hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lram_core.action_model import ActionModel
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import Parity, compare
from lram_core.bench.timing import Latency, time_ticks
from lram_core.bundle import load_bundle
from lram_core.device import resolve_device
from lram_core.errors import CommandError, LramError, listed
from lram_core.machine import machine_name
from lram_core.runtimes import RUNTIMES, make_runtime, runtime_class
from lram_core.runtimes.base import Runtime, RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime

COMMON_RATES = (20.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
EXACT = "fp32"


@dataclass(frozen=True)
class Way:
    """One way of running a model.

    Attributes:
        runtime, precision, threads: which.
        description: what the runtime says it is.
        unavailable: why it cannot run here; empty if it can.
        parity: against eager PyTorch in float32; None if it could not run.
        tick: latency from observation to action bins, the last reward's token included.
        tick_reward_early: the same where that token was advanced before. Both None unless
            parity passed.
    """

    runtime: str
    precision: str
    threads: int
    description: str = ""
    unavailable: str = ""
    parity: Parity | None = None
    tick: Latency | None = None
    tick_reward_early: Latency | None = None

    @property
    def label(self) -> str:
        return f"{self.runtime} ({self.precision})"


@dataclass(frozen=True)
class Holds:
    """Whether a way holds a control rate.

    Attributes:
        rate: Hz. margin: period over the 99.9th percentile of the tick; it holds above 1.
    """

    rate: float
    margin: float

    @property
    def holds(self) -> bool:
        return self.margin > 1.0


@dataclass(frozen=True)
class BundleReport:
    """What was found for one bundle.

    Attributes:
        bundle: its folder. control_rate: of its contract, Hz. rates: judged ones, Hz.
        machine, torch: where. ways: every one that was tried.
    """

    bundle: str
    control_rate: float
    rates: tuple[float, ...]
    machine: str
    torch: str
    ways: tuple[Way, ...]

    def fastest(self, precisions: Iterable[str] = (EXACT,)) -> Way | None:
        """Return the way of the lowest median tick among ``precisions`` that passed parity."""
        timed = [(w.tick.p50, w) for w in self.ways if w.tick and w.precision in set(precisions)]
        return min(timed, key=lambda pair: pair[0])[1] if timed else None

    @property
    def passed(self) -> bool:
        """Whether any way passed parity."""
        return any(way.tick for way in self.ways)

    @property
    def fastest_rounded(self) -> Way | None:
        """The fastest with rounded weights that passed parity."""
        return self.fastest({way.precision for way in self.ways} - {EXACT})

    def held(self, way: Way) -> list[Holds]:
        """Return the judgement of each rate for a way that was timed."""
        assert way.tick is not None
        return [Holds(rate, 1e3 / rate / way.tick.p999) for rate in self.rates]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        data = asdict(self)
        for name, way in (("fastest", self.fastest()), ("fastest_rounded", self.fastest_rounded)):
            data[name] = way and {
                "runtime": way.runtime,
                "precision": way.precision,
                "threads": way.threads,
                "rates": [asdict(h) | {"holds": h.holds} for h in self.held(way)],
            }
        return data


def bench_bundle(
    path: Path | str,
    runtimes: Sequence[str] = (),
    ticks: int = 2000,
    threads: Sequence[int] = (1,),
    device: str = "cpu",
    rates: Sequence[float] = (),
    parity_ticks: int = 200,
    embodiment: str = "",
) -> BundleReport:
    """Measure a bundle.

    Args:
        path: the bundle's folder.
        runtimes: names of :data:`lram_core.runtimes.RUNTIMES`; empty for all.
        ticks: ticks timed, for each way and each of the two times of the reward.
        threads: numbers of CPU threads to try.
        device: ``cpu``, ``cuda`` or ``auto``.
        rates: control rates to judge in Hz, besides the bundle's own and the common ones.
        parity_ticks: ticks of the comparison with the reference.
        embodiment: which of the bundle's; may be empty where there is one only.

    Raises:
        BundleError, ContractError: the bundle is unusable, or has no such embodiment.
        CommandError: an unknown runtime or device, or a number that makes no sense.
    """
    if ticks < 1 or parity_ticks < 1:
        raise CommandError(f"ticks must be positive, found {ticks} and {parity_ticks}")
    if any(count < 1 for count in threads):
        raise CommandError(f"threads must be positive, found {listed(threads)}")
    if any(not rate > 0 for rate in rates):
        raise CommandError(f"rates must be positive, found {[*rates]}")
    for name in runtimes:
        if name not in RUNTIMES:
            raise CommandError(f"unknown runtime {name!r}; available: {listed(RUNTIMES)}")
    where = resolve_device(device)
    model, contract = load_bundle(path, where, embodiment)
    ways: list[Way] = []
    before = torch.get_num_threads()
    try:
        for count in dict.fromkeys(threads):
            torch.set_num_threads(count)
            options = RuntimeOptions(where, "", count, Path(path), contract.suite)
            ways += _bench_model(
                model, tuple(runtimes) or tuple(RUNTIMES), options, ticks, parity_ticks
            )
    finally:
        torch.set_num_threads(before)
    return BundleReport(
        bundle=str(path),
        control_rate=contract.control_rate,
        rates=tuple(sorted({contract.control_rate, *COMMON_RATES, *rates})),
        machine=machine_name(where),
        torch=torch.__version__,
        ways=tuple(ways),
    )


def _bench_model(
    model: ActionModel, names: Sequence[str], options: RuntimeOptions, ticks: int, parity_ticks: int
) -> list[Way]:
    ways: list[Way] = []
    passed: dict[int, Runtime] = {}
    inputs = RandomWalk(model).take(parity_ticks)
    for name in names:
        for precision in precisions_of(name):
            runtime, way = open_way(model, name, precision, options)
            if runtime is not None:
                reference = TorchRuntime(model, RuntimeOptions(options.device))
                way = replace(way, parity=compare(reference, runtime, inputs))
                if way.parity is not None and way.parity.passed:
                    passed[len(ways)] = runtime
            ways.append(way)
    inputs = RandomWalk(model, seed=1).take(ticks)
    late = time_ticks(passed, inputs, reward_early=False)
    early = time_ticks(passed, inputs, reward_early=True)
    return [
        replace(way, tick=late[i], tick_reward_early=early[i]) if i in passed else way
        for i, way in enumerate(ways)
    ]


def precisions_of(name: str) -> tuple[str, ...]:
    """Return the precisions of a runtime; one unnamed one where it cannot even be imported."""
    try:
        return runtime_class(name).precisions
    except ImportError:
        return ("",)


def open_way(
    model: ActionModel, name: str, precision: str, options: RuntimeOptions
) -> tuple[Runtime | None, Way]:
    """Put the model into a runtime; where that cannot be, the way says why."""
    way = Way(name, precision, options.threads)
    try:
        runtime = make_runtime(
            model,
            name,
            replace(options, precision=precision),
        )
    except (LramError, ImportError) as error:
        return None, replace(way, unavailable=str(error).removeprefix(f"runtime {name}: "))
    return runtime, replace(way, description=runtime.describe(), precision=runtime.precision)
