"""How steadily a control loop ticks, and how long a sensor reading takes to become a command.

    python -m benchmarks.control_loop --json benchmarks/results/control_loop.json \
        --plot docs/control_loop.svg --markdown

Over DDS, with the shipped bundle and every topic of its robot contract: a process publishes the
sensors at the rate, another runs the control loop; each measurement starts both afresh. The loop is
a minimal node made of the policy node's own parts (collectors, control loop, messages, ticker), so
that a plain rclpy timer can drive the same tick. At each rate and load all kinds take turns in a
random order.

Kinds of clock, measured by the time between the beginnings of two ticks:

- ``ticker``: the control clock of this package, callbacks in rclpy's EventsExecutor;
- ``ticker fifo``: the same with SCHED_FIFO and locked memory, where that is permitted;
- ``rclpy timer``: ``create_timer`` in rclpy's standard executor.

Kinds of answering a set of sensor messages, measured from handing the last message of the set to
the middleware until the command is handed to it:

- ``events``, ``events fifo``: in the EventsExecutor, and with SCHED_FIFO;
- ``single-threaded``: in rclpy's standard executor.

*Delivery* is the part before the callback of the set's last message; the messages before it are
received and deserialised in that time too.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.output import add_output_options, write
from lram_core.machine import machine_name
from lram_ros.children import Children
from lram_ros.domain import isolation, reserved_domain

CLOCKS = ("ticker", "ticker fifo", "rclpy timer")
ANSWERS = ("events", "events fifo", "single-threaded")
RATES = (20.0, 50.0, 100.0, 250.0, 500.0)
LOADS = ("idle", "loaded")
ROOT = Path(__file__).parents[1]
BUSY = "import os; os.sched_setaffinity(0, {int(os.environ['BUSY_CPU'])})\nwhile True: pass"
_START_S = 60.0  # for a process to load the bundle, generously


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything asked for; returns the report."""
    shuffled = random.Random(0)
    report: dict[str, Any] = {
        "machine": machine_name(),
        "bundle": args.bundle.name,
        "contract": args.contract.name,
        "runtime": "",
        "warnings": [],
        "rows": [],
    }
    begin = time.monotonic()
    for load in args.loads:
        for rate in args.rates:
            kinds = list(args.kinds)
            shuffled.shuffle(kinds)
            for kind in kinds:
                row = measure(kind, rate, load, args, report)
                report["rows"].append(row)
                print(_line(row), flush=True)
    report["seconds"] = time.monotonic() - begin
    return report


def measure(
    kind: str, rate: float, load: str, args: argparse.Namespace, report: dict[str, Any]
) -> dict[str, Any]:
    """Run one kind of loop beside the sensors; returns its figures in milliseconds."""
    ticks = max(args.ticks, round(args.seconds * rate))
    with tempfile.TemporaryDirectory() as folder, reserved_domain() as domain:
        path = Path(folder)
        environment = {**isolation(domain), "OMP_NUM_THREADS": "1"}
        common = ["--rate", str(rate), "--contract", str(args.contract)]
        with Children(path, environment) as children, _busy(load):
            module = "benchmarks.control_loop_process"
            children.start("sensors", module, ["sensors", *common, "--out", str(path / "sent.npz")])
            command = [sys.executable, "-m", module, "control", *common]
            command += ["--out", str(path / "notes.npz"), "--bundle", str(args.bundle)]
            command += ["--kind", kind, "--ticks", str(ticks)]
            subprocess.run(
                command,
                env={**os.environ, **environment},
                check=True,
                timeout=_START_S + 30 + 3 * ticks / rate,
            )
            children.check()
        with np.load(path / "notes.npz") as found, np.load(path / "sent.npz") as sensors:
            notes, sent, answers = found["notes"], sensors["sent"], sensors["answers"]
            processor, warnings = float(found["processor"]), found["warnings"].tolist()
            report["runtime"] = str(found["runtime"])
    report["warnings"] = sorted({*report["warnings"], *warnings})
    row: dict[str, Any] = {"kind": kind, "rate": rate, "load": load, "ticks": len(notes)}
    row["processor"] = processor
    row |= figures(notes, sent, answers, rate)
    return row


class _busy:
    """With the load asked for: a process that computes on the last core, or nothing."""

    def __init__(self, load: str) -> None:
        self._wanted = load == "loaded"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> None:
        if self._wanted:
            last = str(max(os.sched_getaffinity(0)))
            environment = {**os.environ, "BUSY_CPU": last}
            self._process = subprocess.Popen([sys.executable, "-c", BUSY], env=environment)

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def figures(
    notes: npt.NDArray[np.int64],
    sent: npt.NDArray[np.int64],
    answers: npt.NDArray[np.int64],
    rate: float,
) -> dict[str, Any]:
    """Return jitter, latency and model time of a run, in ms.

    Args:
        notes: (ticks, 4): start, end, stamp of the set, model time, in ns.
        sent: (sets, 3): stamp, first and last message handed to the middleware, in ns.
        answers: (commands, 2): stamp, arrival at the sensors, in ns.
        rate: of the loop, in Hz.
    """
    periods = np.diff(notes[:, 0]) / 1e6
    jitter = np.abs(periods - 1e3 / rate)
    last = dict(zip(sent[:, 0].tolist(), sent[:, 2].tolist(), strict=True))
    matched = [(row, last[row[2]]) for row in notes.tolist() if row[2] in last]
    latency = np.array([(row[1] - handed) / 1e6 for row, handed in matched])
    over = np.array([(row[1] - handed - row[3]) / 1e6 for row, handed in matched])
    delivery = np.array([(row[0] - handed) / 1e6 for row, handed in matched])
    wanted = {row[2] for row in notes.tolist()}
    trips = np.array(
        [(arrival - last[s]) / 1e6 for s, arrival in answers.tolist() if s in wanted and s in last]
    )
    return {
        "true_hz": 1e3 / float(periods.mean()) if periods.any() else None,
        "jitter_ms": _percentiles(jitter),
        "late_periods": float((periods > 2e3 / rate).mean()) if len(periods) else None,
        "latency_ms": _percentiles(latency),
        "model_ms": _percentiles(notes[:, 3] / 1e6),
        "beside_model_ms": _percentiles(over),
        "delivery_ms": _percentiles(delivery),
        "round_trip_ms": _percentiles(trips),
    }


def _percentiles(values: npt.NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    p50, p99, p999 = np.percentile(values, (50, 99, 99.9)).tolist()
    return {"p50": p50, "p99": p99, "p99.9": p999, "max": float(values.max())}


def _line(row: dict[str, Any]) -> str:
    what = row["jitter_ms"] if row["kind"] in CLOCKS else row["latency_ms"]
    name = "jitter" if row["kind"] in CLOCKS else "latency"
    return (
        f"{row['load']:6s} {row['rate']:4g} Hz {row['kind']:16s} {name:7s} p50 {what['p50']:7.3f}  "
        f"p99 {what['p99']:7.3f}  p99.9 {what['p99.9']:7.3f} ms  model {row['model_ms']['p50']:.3f}"
        if what
        else f"{row['load']:6s} {row['rate']:4g} Hz {row['kind']:16s} nothing measured"
    )


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the tables of the manual: ``jitter`` and ``latency``."""
    about = f"{report['machine']}; {report['bundle']}, {report['runtime']}"
    found = {"jitter": _jitter_table(report["rows"]), "latency": _latency_table(report["rows"])}
    return {name: f"{about}\n\n{table}" for name, table in found.items() if table}


def _jitter_table(rows: list[dict[str, Any]]) -> str:
    rows_of_clocks = _ordered(rows, CLOCKS)
    if not rows_of_clocks:
        return ""
    lines = [
        "| load | rate Hz | clock | jitter p50 ms | p99 ms | p99.9 ms | max ms "
        "| p99 / rclpy timer | true Hz |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows_of_clocks:
        found = row["jitter_ms"]
        plain = next((r for r in rows if _same(r, row) and r["kind"] == "rclpy timer"), None)
        ratio = f"{found['p99'] / plain['jitter_ms']['p99']:.2f}" if plain else ""
        lines.append(
            f"| {_cells(row, found)} | {found['max']:.3f} | {ratio} | {row['true_hz']:.1f} |"
        )
    return "\n".join(lines)


def _latency_table(rows: list[dict[str, Any]]) -> str:
    rows_of_answers = _ordered(rows, ANSWERS)
    if not rows_of_answers:
        return ""
    lines = [
        "| load | rate Hz | executor | sensor to command p50 ms | p99 ms | p99.9 ms "
        "| model p50 ms | beside the model p50 ms | of that delivery p50 ms | round trip p50 ms "
        "| one core % |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows_of_answers:
        parts = [row[f"{name}_ms"] for name in ("model", "beside_model", "delivery", "round_trip")]
        medians = " | ".join(f"{part['p50']:.3f}" if part else "" for part in parts)
        cells = _cells(row, row["latency_ms"])
        lines.append(f"| {cells} | {medians} | {100 * row['processor']:.0f} |")
    return "\n".join(lines)


def _cells(row: dict[str, Any], found: dict[str, float]) -> str:
    cells = [row["load"], f"{row['rate']:g}", row["kind"]]
    return " | ".join([*cells, *(f"{found[name]:.3f}" for name in ("p50", "p99", "p99.9"))])


def _ordered(rows: list[dict[str, Any]], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    key = "jitter_ms" if kinds is CLOCKS else "latency_ms"
    found = [row for row in rows if row["kind"] in kinds and row[key]]
    return sorted(found, key=lambda r: (LOADS.index(r["load"]), r["rate"], kinds.index(r["kind"])))


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return (a["rate"], a["load"]) == (b["rate"], b["load"])


def plot(report: dict[str, Any], path: Path) -> None:
    """Left: jitter over the rate. Right: sensor to command. Dashed: p99; thin: loaded."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from benchmarks.plots import COLOURS, STYLE

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 4.2), layout="constrained")
        axes = figure.subplots(1, 2)
        panels = (
            (CLOCKS, "jitter_ms", "period jitter"),
            (ANSWERS, "latency_ms", "sensor to command"),
        )
        for panel, (kinds, key, title) in zip(axes, panels, strict=True):
            for number, kind in enumerate(kinds):
                for load in LOADS:
                    rows = [r for r in _ordered(report["rows"], kinds) if r["kind"] == kind]
                    rows = [r for r in rows if r["load"] == load]
                    for percentile, style in (("p50", "-"), ("p99", "--")):
                        panel.plot(
                            [r["rate"] for r in rows],
                            [r[key][percentile] for r in rows],
                            color=COLOURS[number],
                            linestyle=style,
                            marker="o",
                            markersize=3,
                            linewidth=1.6 if load == "idle" else 0.7,
                            label=f"{kind}, {load}, {percentile}" if rows else None,
                        )
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_xticks(list(RATES), [f"{rate:g}" for rate in RATES])
            panel.minorticks_off()
            panel.set_xlabel("rate [Hz]")
            panel.set_ylabel("ms")
            panel.set_title(title, fontsize=9)
            if panel.get_legend_handles_labels()[0]:
                panel.legend(frameon=False, fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))
        figure.suptitle(
            f"Control loop over DDS, {report['bundle']}, {report['machine']}", fontsize=9
        )
        kind = path.suffix.lstrip(".") or "svg"
        figure.savefig(
            path, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "metaworld-ml45")
    parser.add_argument("--contract", type=Path, default=ROOT / "config" / "metaworld.yaml")
    parser.add_argument("--rates", nargs="+", type=float, default=list(RATES))
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--kinds", nargs="+", choices=CLOCKS + ANSWERS, default=[*CLOCKS, *ANSWERS])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--ticks", type=int, default=1000, help="at least, of each measurement")
    add_output_options(parser)
    args = parser.parse_args(arguments)
    report = run(args)
    write(report, args, markdown, plot)


if __name__ == "__main__":
    main()
