"""What the project wants of its latencies, and whether a report shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STREAMED = ("16M", "48M", "110M", "206M")
OVER_LIMIT = {"fp32": 1.35, "int8": 1.6}
OVER_PACKAGE = {"16M": 15.0, "206M": 10.0}


@dataclass(frozen=True)
class Target:
    """One target and what was found.

    Attributes:
        what, where: the claim, and the model it is made for. wanted, shown: in words.
        met: whether the figures of the run meet it.
    """

    what: str
    where: str
    wanted: str
    shown: str
    met: bool


def targets(report: dict[str, Any]) -> list[Target]:
    """Judge a report of ``benchmarks.tick_latency``; targets without figures are left out."""
    groups = report["groups"]
    models = [g for g in groups if g["kind"] == "model" and g["model"].startswith("xlstm")]
    found: list[Target] = []
    if report["device"] == "cuda":
        for group in models:
            found += _gpu(group)
        return found
    for precision, most in OVER_LIMIT.items():
        for group in models:
            row = _row(group, f"native {precision}")
            if row and group["size"] in STREAMED:
                ratio, floor = row["over_limit"], row["over_floor"]
                shown = f"{ratio:.2f} × ({floor:.2f} × floor)"
                what = f"native {precision} over its limit"
                found.append(Target(what, _name(group), f"≤ {most:g} ×", shown, ratio <= most))
    for group in models:
        ours, package = _row(group, "native int8"), _row(group, "xlstm package")
        least = OVER_PACKAGE.get(group["size"])
        if ours and package and least:
            ratio = package["p50_ms"] / ours["p50_ms"]
            what = "native int8 against the `xlstm` package"
            found.append(_least(what, _name(group), ratio, least))
    for group in groups:
        if group["kind"] == "context":
            found += _against_transformer(group)
    return found


def _against_transformer(group: dict[str, Any]) -> Iterator[Target]:
    rivals = [r["p50_ms"] for r in group["rows"] if r["model"] == "transformer"]
    ours = [r["p50_ms"] for r in group["rows"] if r["model"] == "xlstm-h128"]
    if rivals and ours:
        yield _least(
            f"against a Transformer, context {group['context']}, best of each",
            f"{group['size']} xlstm-h128",
            min(rivals) / min(ours),
            1.0,
        )


def _gpu(group: dict[str, Any]) -> Iterator[Target]:
    ours, package = _row(group, "cuda-graph bf16"), _row(group, "xlstm package")
    if ours is None:
        return
    if group["size"] == "206M":
        yield _most("CUDA graph bf16 over its limit", _name(group), ours["over_limit"], 2.0)
    if group["size"] == "16M":
        micro = 1e3 * ours["p50_ms"]
        yield Target("CUDA graph bf16", _name(group), "≤ 60 µs", f"{micro:.0f} µs", micro <= 60.0)
    if package:
        ratio = package["p50_ms"] / ours["p50_ms"]
        yield _least("CUDA graph bf16 against the `xlstm` package", _name(group), ratio, 20.0)


def _row(group: dict[str, Any], way: str) -> dict[str, Any] | None:
    return next((row for row in group["rows"] if row["way"].startswith(way)), None)


def _name(group: dict[str, Any]) -> str:
    return f"{group['size']} {group['model']}"


def _most(what: str, where: str, ratio: float, most: float) -> Target:
    return Target(what, where, f"≤ {most:g} ×", f"{ratio:.2f} ×", ratio <= most)


def _least(what: str, where: str, ratio: float, least: float) -> Target:
    words = "faster" if least == 1.0 else f"≥ {least:g} × faster"
    return Target(what, where, words, f"{ratio:.2f} ×", ratio > least or ratio == least > 1.0)
