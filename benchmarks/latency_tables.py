"""Tables of a latency report, as the manual shows them."""

from __future__ import annotations

from typing import Any

from benchmarks.latency_targets import targets

Report = dict[str, Any]
Row = dict[str, Any]
STREAMS = ("limit", "floor")


def markdown(report: Report) -> dict[str, str]:
    """Return name → Markdown table of everything in a report of ``benchmarks.tick_latency``."""
    tables = {"setting": setting(report), "targets": _targets(report)}
    for model in dict.fromkeys(g["model"] for g in report["groups"] if g["kind"] == "model"):
        tables[model] = _model(report, model)
    if any(g["kind"] == "context" for g in report["groups"]):
        tables["contexts"] = _contexts(report)
    return tables


def setting(report: Report) -> str:
    """One line: where, how, how many ticks."""
    ticks = [row["ticks"] for group in report["groups"] for row in group["rows"]]
    return (
        f"{report['machine']}, {report['threads']} thread(s), torch {report['torch']}, "
        f"{min(ticks)} to {max(ticks)} ticks a group, {report['seconds'] / 60:.0f} min"
    )


def _targets(report: Report) -> str:
    lines = ["| target | where | wanted | found | |", "|---|---|---|---|---|"]
    for t in targets(report):
        verdict = "met" if t.met else "**not met**"
        lines.append(f"| {t.what} | {t.where} | {t.wanted} | {t.shown} | {verdict} |")
    return "\n".join(lines)


def _model(report: Report, model: str) -> str:
    """A row a way, a column a size: median in ms, and how many times its limit that is."""
    groups = [g for g in report["groups"] if g["kind"] == "model" and g["model"] == model]
    lines = [
        "| p50 ms (× limit) | " + " | ".join(g["size"] for g in groups) + " |",
        "|---|" + "---|" * len(groups),
        "| parameters M | " + " | ".join(f"{g['parameters_M']:.1f}" for g in groups) + " |",
        "| state MB | " + " | ".join(f"{g['state_MB']:.1f}" for g in groups) + " |",
    ]
    names = dict.fromkeys((r["way"], r["precision"]) for g in groups for r in g["rows"])
    for way, precision in names:
        cells = []
        for group in groups:
            row = next(
                (r for r in group["rows"] if (r["way"], r["precision"]) == (way, precision)), None
            )
            if row is None:
                cells.append("–")
            elif way in STREAMS:
                cells.append(ms(row["p50_ms"]))
            else:
                cells.append(f"{ms(row['p50_ms'])} ({row['over_limit']:.2f})")
        name = f"{way}, {precision} weights" if way in STREAMS else way
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _contexts(report: Report) -> str:
    """A row a model, by size and context, with its fastest way in float32 and of all."""
    lines = [
        "| size | context | model | fp32 ms | × faster than DT | any precision ms | × faster |",
        "|---|---|---|---|---|---|---|",
    ]
    for group in report["groups"]:
        if group["kind"] != "context":
            continue
        where = f"| {group['size']} | {group['context']} "
        rivals = _bests(group, "transformer")
        for model in dict.fromkeys(r["model"] for r in group["rows"] if r["model"]):
            cells = []
            for rival, best in zip(rivals, _bests(group, model), strict=True):
                cells.append(f"{ms(best['p50_ms'])} ({best['way']})" if best else "–")
                faster = rival and best and rival["p50_ms"] / best["p50_ms"]
                cells.append(f"{faster:.2f}" if faster and model != "transformer" else "")
            lines.append(f"{where}| {TITLES.get(model, model)} | {' | '.join(cells)} |")
        limits = [r for r in group["rows"] if r["way"] == "limit"]
        exact = [r for r in limits if r["precision"] == "fp32"]
        cells = [ms(min(map(_median, rows))) if rows else "–" for rows in (exact, limits)]
        lines.append(f"{where}| *memory limit of that DT* | {cells[0]} | | {cells[1]} | |")
    return "\n".join(lines)


def _bests(group: dict[str, Any], model: str) -> tuple[Row | None, Row | None]:
    """The fastest row of a model in float32, and of all."""
    rows = [r for r in group["rows"] if r["model"] == model]
    exact = [r for r in rows if r["precision"] == "fp32"]
    return min(exact, key=_median, default=None), min(rows, key=_median, default=None)


TITLES = {"transformer": "Decision Transformer, KV cache"}


def ms(value: float) -> str:
    """Milliseconds with three significant digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _median(row: dict[str, Any]) -> float:
    return float(row["p50_ms"])
