"""Tables of a fault campaign's report, as docs/safety.md shows them."""

from __future__ import annotations

from typing import Any


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the tables of docs/safety.md: ``faults`` and ``kills``."""
    about = (
        f"{report['machine']}; {report['rate_hz']:g} Hz, inputs up to {report['max_age_s']:g} s "
        f"old, watchdog {report['watchdog_s']:g} s; {report['seconds'] / 60:.0f} min in all"
    )
    if stops := [stop for row in report["rows"] for stop in row["stops"]]:
        about += f"; {len(stops)} stops between the faults: {', '.join(stops)}"
    lines = [
        "| fault | what happens | clock | outcome | safe command after ms (allowed) "
        "| way to rest rad (braking takes) | re-armed after s | threads | memory MB | |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    order = {name: number for number, name in enumerate(_names(report))}
    for row in sorted(report["rows"], key=lambda row: (order[row["fault"]], row["clock"] == "sim")):
        lines.append(_table_row(row))
    found = {"faults": f"{about}\n\n" + "\n".join(lines)}
    if report["kills"]:
        found["kills"] = _kills(report["kills"])
    return found


def _table_row(row: dict[str, Any]) -> str:
    stopped = row.get("safe_ms") is not None
    safe = f"{row['safe_ms']:.0f} ({row['allowed_ms']:.0f})" if stopped else ""
    way = f"{row['way_rad']:.3f} ({row['way_allowed_rad']:.3f})" if stopped else ""
    rearmed = f"{row['rearm_s']:.1f}" if stopped else ""
    outcome = f"`{row['reason']}`" if row["reason"] else "goes on, within limits"
    threads = " → ".join(str(count) for count in dict.fromkeys(row["threads"]))
    memory = f"{row['memory_mb'][1] - row['memory_mb'][0]:+.1f}"
    wrong = [*row["problems"]]
    if stopped and not row["safe_ms"] <= row["allowed_ms"]:
        wrong.append("late")
    verdict = "; ".join(wrong) or "✓"
    cells = [row["fault"], row["what"], row["clock"], outcome, safe, way, rearmed, threads, memory]
    return f"| {' | '.join(cells)} | {verdict} |"


def _names(report: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(row["fault"] for row in report["rows"]))


def _kills(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| robot | its time-out s | speed before (rad/s, m/s) | at rest after s | way (rad, m) | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        verdict = "; ".join(row["problems"]) or "✓"
        lines.append(
            f"| {row['robot']} | {row['timeout_s']:g} | {row['speed']:.2f} | {row['rest_s']:.2f} "
            f"| {row['way']:.3f} | {verdict} |"
        )
    return "\n".join(lines)
