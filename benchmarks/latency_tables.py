"""Tables of a latency report, as the manual shows them."""

from __future__ import annotations

from typing import Any

from benchmarks.latency_targets import targets

Report = dict[str, Any]
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
    """Best of ours against the best Transformer, by size and context; all ways of the latter."""
    lines = [
        "| size | context | model | fastest fp32 | ms | fastest of all | ms | × faster than DT |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group in report["groups"]:
        if group["kind"] != "context":
            continue
        rivals = [r for r in group["rows"] if r["model"] == "transformer"]
        rival = min((r["p50_ms"] for r in rivals), default=None)
        for model in dict.fromkeys(r["model"] for r in group["rows"]):
            rows = [r for r in group["rows"] if r["model"] == model]
            exact = min((r for r in rows if r["precision"] == "fp32"), key=_median, default=None)
            best = min(rows, key=_median)
            faster = "–" if rival is None else f"{rival / best['p50_ms']:.2f}"
            shown = (exact["way"], ms(exact["p50_ms"])) if exact else ("–", "–")
            lines.append(
                f"| {group['size']} | {group['context']} | {TITLES.get(model, model)} "
                f"| {shown[0]} | {shown[1]} | {best['way']} | {ms(best['p50_ms'])} "
                f"| {'' if model == 'transformer' else faster} |"
            )
    return "\n".join(lines)


TITLES = {"transformer": "Decision Transformer, KV cache"}


def ms(value: float) -> str:
    """Milliseconds with three significant digits."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _median(row: dict[str, Any]) -> float:
    return float(row["p50_ms"])
