"""Table of a soak report, as the manual shows it."""

from __future__ import annotations

from typing import Any


def markdown(report: dict[str, Any]) -> str:
    """Return the Markdown table of a report of ``benchmarks.soak``."""
    allocation, drift = report["allocation"], report["drift"]
    ratio = report["old_over_young"]
    rows = [
        (
            "latency with the state of the last tick / of tick 1,000, in turns",
            f"{report['p50_ms_old']:.4f} / {report['p50_ms_young']:.4f} ms = {ratio:.3f}",
            "within 5 %",
            abs(ratio - 1) <= 0.05,
        ),
        (
            "median on the way: first thousand ticks / last thousand",
            f"{report['p50_ms'][0]:.4f} / {report['p50_ms'][-1]:.4f} ms",
            "",
            None,
        ),
        (
            "state finite at every thousandth tick",
            "yes" if report["state_finite"] else "no",
            "yes",
            report["state_finite"],
        ),
        (
            "resident memory, growth over the run after the first 1 %",
            f"{report['rss_MB_growth']:+.2f} MB",
            "flat",
            report["rss_MB_growth"] < 1.0,
        ),
        (
            f"Python objects left by {allocation['ticks']:,} more ticks",
            f"{allocation['python_bytes']:+,} bytes",
            "0",
            allocation["python_bytes"] <= 0,
        ),
        (
            f"resident memory over those {allocation['ticks']:,} ticks",
            f"{allocation['rss_bytes'] / 1e6:+.2f} MB",
            "0",
            allocation["rss_bytes"] < 1e5,
        ),
    ]
    if drift:
        half = drift[-1]["tick"] / 2
        for key, what in (("state_error", "state"), ("logit_error", "logits")):
            early = max(p[key] for p in drift if p["tick"] <= half or len(drift) == 1)
            late = max(p[key] for p in drift if p["tick"] > half)
            title = f"{what} off float64's, relative to the largest value: first half / second half"
            rows.append((title, f"{early:.1e} / {late:.1e}", "", None))
        title = f"bins equal to float64's over {report['reference_ticks']:,} ticks"
        rows.append((title, f"{100 * report['bins_equal']:.4f} %", "", None))
    lines = ["| | found | wanted | |", "|---|---|---|---|"]
    for what, shown, wanted, met in rows:
        verdict = "" if met is None else "met" if met else "**not met**"
        lines.append(f"| {what} | {shown} | {wanted} | {verdict} |")
    return (
        f"{report['subject']}, {report['runtime']}, {report['ticks']:,} ticks without a reset; "
        f"{report['machine']}, torch {report['torch']}, {report['seconds'] / 60:.0f} min:\n\n"
        + "\n".join(lines)
    )
