"""A replay for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from lram_core.report.terminal import print_table
from lram_ros.replay.bag.measures import readable
from lram_ros.replay.bag.page import short_path


def print_replay(console: Console, summary: dict[str, Any]) -> None:
    """Print the figures of each policy, then what was found about the recording."""
    for policy in summary["policies"]:
        _print_joints(console, summary, policy)
        _print_lines(console, policy)
    recorded = summary["recorded"]
    if recorded is not None:
        tick = recorded["tick_ms"]
        console.print(
            f"as recorded: tick {tick['p50']:.2f} ms (p99 {tick['p99']:.2f}, max "
            f"{tick['max']:.2f}); {recorded['deadline_missed']} of {recorded['ticks']} over "
            f"{recorded['deadline_ms']:.1f} ms, {recorded['ticks_left_out']} left out"
        )
    _print_gaps(console, [s for s in summary["streams"] if s["gaps_over_max_age"]])
    for note in summary["notes"]:
        console.print(Text("note: ", "yellow").append(note, "default"))


def _print_gaps(console: Console, late: list[dict[str, Any]]) -> None:
    if not late:
        return
    worst = max(late, key=lambda stream: stream["gap_ms"]["max"])
    console.print(
        f"gaps over max_age: {sum(s['gaps_over_max_age'] for s in late)} on {len(late)} topics; "
        f"the longest, {worst['gap_ms']['max']:.0f} ms, on {worst['topic']} "
        f"{worst['longest_gap_at_s']:.3f} s into the bag",
        markup=False,
    )


def _print_joints(console: Console, summary: dict[str, Any], policy: dict[str, Any]) -> None:
    rows = [
        [
            row["name"],
            row["unit"],
            *(_number(row[key]) for key in ("mean", "rms", "p95", "max", "bias")),
            _number(row["mean_percent_of_range"]),
        ]
        for row in map(readable, policy["joints"])
    ]
    print_table(
        console,
        f"{policy['name']} on {short_path(summary['bag'])}: error of the commands",
        ("joint", "unit", "mean", "rms", "95 %", "max", "bias", "% of range"),
        rows,
    )


def _print_lines(console: Console, policy: dict[str, Any]) -> None:
    tokens, drift = policy["tokens"], policy["drift"]
    if tokens["accuracy"] is not None:
        console.print(
            f"tokens: {100 * tokens['accuracy']:.2f} % equal, "
            f"{100 * tokens['within_one_bin']:.2f} % within one bin; "
            f"{_number(tokens['nll'])} nats a token, perplexity {_number(tokens['perplexity'])}"
        )
    if drift["last_quarter_percent"] is not None and drift["first_quarter_percent"] is not None:
        console.print(
            f"drift: {drift['first_quarter_percent']:.3f} % of the range in the first quarter of "
            f"the episodes, {drift['last_quarter_percent']:.3f} % in the last"
        )
    _print_parity(console, "offline and recorded", policy["parity"])
    if policy["live"] is not None:
        _print_parity(console, "offline and live", policy["live"]["offline"])
        _print_parity(console, "live and recorded", policy["live"]["recorded"])


def _print_parity(console: Console, what: str, found: dict[str, Any] | None) -> None:
    if found is None:
        console.print(f"parity, {what}: nothing to compare")
        return
    whole = found["actions_equal"] == found["ticks"]
    line = (
        f"parity, {what}: the actions of {found['actions_equal']} of {found['ticks']} ticks equal"
    )
    console.print(Text(line, "green" if whole else "yellow"))
    if found["first_difference"]:
        console.print(f"  first difference: {found['first_difference']}", markup=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
