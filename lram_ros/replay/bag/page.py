"""The HTML report of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.report.page import (
    Block,
    Card,
    Cell,
    Facts,
    Figure,
    Fold,
    Page,
    Section,
    Table,
    Text,
)
from lram_ros.message_fields import Array
from lram_ros.replay.bag.figures import (
    commands_figure,
    drift_figure,
    residuals_figure,
)
from lram_ros.replay.bag.formats import number, percent
from lram_ros.replay.bag.measures import readable, relative_error
from lram_ros.replay.bag.offline import Replayed
from lram_ros.replay.bag.page_recording import recorded_latency, recorded_streams
from lram_ros.replay.bag.summary import Evaluation

EPISODES = 12
"""Episodes whose commands are drawn: the worst one, and the first of the others."""


def replay_page(
    found: Evaluation,
    summary: dict[str, Any],
    missed: list[str],
    judged: bool,
    files: Mapping[str, str],
    machine: Mapping[str, str],
) -> Page:
    """The report.

    Args:
        found, summary: what was measured, and the same as plain data.
        missed: thresholds that were not reached.
        judged: whether there were any.
        files: what → file beside the report.
        machine: what it was replayed on.
    """
    names = [policy["name"] for policy in summary["policies"]]
    sections = []
    if len(names) > 1:
        sections.append(Section("Side by side", [_side_by_side(summary)]))
    if judged:
        sections.append(Section("Thresholds", _thresholds(missed)))
    if found.replayed.titles:
        sections.append(Section("Recorded and replayed commands", _commands(found)))
        sections.append(Section("Error of each joint", _joints(found, summary)))
        sections.append(Section("Tokens", _tokens(found, summary)))
        sections.append(Section("Parity", _parity(summary)))
    sections.append(Section("Latency as recorded", recorded_latency(found, summary)))
    sections.append(Section("Streams as recorded", recorded_streams(summary)))
    sections.append(Section("The replay", [_facts(summary, files, machine)]))
    return Page(
        title=f"{' and '.join(names)} on {short_path(summary['bag'])}",
        subtitle=(
            f"{summary['bag']} · {summary['duration_s']:.1f} s, "
            f"{summary['episodes']} episode{'s' * (summary['episodes'] != 1)}, "
            f"{summary['ticks']:,} ticks · {Path(summary['contract']).name}"
        ),
        notes=summary["notes"],
        cards=_cards(summary["policies"][0]) if len(names) == 1 else [],
        sections=sections,
    )


def _cards(policy: dict[str, Any]) -> list[Card]:
    tokens = policy["tokens"]
    cards = [
        Card(
            percent(policy["mean_error_percent_of_range"]),
            "mean error of the commands, of each joint's range",
        ),
        Card(
            percent(tokens["accuracy"], 100),
            f"of {tokens['tokens']:,} tokens are the recorded ones",
        ),
        Card(number(tokens["perplexity"]), "perplexity of the recorded tokens"),
    ]
    parity = policy["parity"]
    if parity is not None:
        equal = parity["actions_equal"]
        cards.append(
            Card(
                f"{equal:,} / {parity['ticks']:,}",
                "ticks with the recorded action, number for number",
                "good" if equal == parity["ticks"] else "",
            )
        )
    return cards


def _side_by_side(summary: dict[str, Any]) -> Table:
    """The cards of several policies as a table."""
    cards = [_cards(policy) for policy in summary["policies"]]
    names = [card.text for card in max(cards, key=len)]
    rows: list[list[str | Cell]] = []
    for row, name in enumerate(names):
        cells = [Cell(c[row].value, c[row].tone) if row < len(c) else "–" for c in cards]
        rows.append([name, *cells])
    return Table(["", *(policy["name"] for policy in summary["policies"])], rows)


def _thresholds(missed: list[str]) -> list[Block]:
    if not missed:
        return [Text("All thresholds are reached.", "good")]
    return [Text(f"Missed: {line}", "bad") for line in missed]


def _commands(found: Evaluation) -> list[Block]:
    replayed = found.replayed
    means = [_means(replayed, relative_error(error, found.fields)) for error in found.errors]
    worst = int(np.max(means, axis=0).argmax())
    count = len(replayed.titles)
    others = [s for s in range(count) if s != worst][: EPISODES - 1]

    def drawn(segment: int) -> Figure:
        title = replayed.titles[segment]
        errors = ", ".join(
            f"{answers.name} {mean[segment]:.2f} %"
            for answers, mean in zip(replayed.answers, means, strict=True)
        )
        return Figure(
            commands_figure(replayed, found.fields, segment, f"commands-{segment}"),
            f"recorded and replayed commands of {title}",
            f"{title}: mean error, of the range: {errors}",
        )

    blocks: list[Block] = [
        drawn(worst),
        Figure(
            residuals_figure(replayed, found.errors, found.fields),
            "replayed less recorded command of each joint",
            "Replayed less recorded command, at every tick of the bag.",
        ),
    ]
    if count > 1:
        blocks.insert(0, Text("The episode with the largest error, and all errors."))
    if others:
        shown = f"{len(others)} of {count - 1}" if count > EPISODES else "the"
        blocks.append(Fold(f"Commands of {shown} other episodes", [drawn(s) for s in others]))
    return blocks


def _means(replayed: Replayed, relative: Array) -> list[float]:
    """Mean relative error of each episode, per cent; 0 where nothing was compared."""
    found = []
    for segment in range(len(replayed.titles)):
        part = relative[replayed.segment == segment]
        known = part[np.isfinite(part)]
        found.append(float(known.mean()) if len(known) else 0.0)
    return found


def short_path(path: str) -> str:
    """The end of a path: many a bag's own name is ``bag``."""
    return "/".join(Path(path).resolve().parts[-2:])


def _joints(found: Evaluation, summary: dict[str, Any]) -> list[Block]:
    several = len(summary["policies"]) > 1
    rows = []
    for index, item in enumerate(found.fields):
        for policy in summary["policies"]:
            row = readable(policy["joints"][index])
            rows.append(
                [
                    item.name + (f" · {policy['name']}" if several else ""),
                    row["unit"],
                    *(number(row[key]) for key in ("mean", "rms", "p95", "max", "bias")),
                    percent(row["mean_percent_of_range"]),
                ]
            )
    names = [policy["name"] for policy in summary["policies"]]
    return [
        Table(["joint", "unit", "mean", "rms", "95 %", "max", "bias", "of range"], rows),
        Text("Absolute errors but for the bias: the mean of replayed less recorded."),
        Figure(
            drift_figure(found.drifts, names, "error, % of range", "drift"),
            "error by the tick within the episode",
            "Drift: median over the episodes, shaded up to the 90th percentile. "
            + " ".join(_quarters(policy, several) for policy in summary["policies"]),
        ),
        Figure(
            drift_figure(found.likelihoods, names, "nats a token", "nll"),
            "negative log-likelihood of the recorded tokens by the tick within the episode",
            "How unlikely the policy finds what was recorded, by the tick.",
        ),
    ]


def _quarters(policy: dict[str, Any], several: bool) -> str:
    drift = policy["drift"]
    if drift["first_quarter_percent"] is None or drift["last_quarter_percent"] is None:
        return ""
    who = f"{policy['name']}: m" if several else "M"
    return (
        f"{who}ean {drift['first_quarter_percent']:.2f} % in the first quarter of the episodes, "
        f"{drift['last_quarter_percent']:.2f} % in the last."
    )


def _tokens(found: Evaluation, summary: dict[str, Any]) -> list[Block]:
    several = len(summary["policies"]) > 1
    rows = []
    for policy in summary["policies"]:
        who = f" · {policy['name']}" if several else ""
        for row in [*policy["tokens"]["by_action"], {"name": "all", **policy["tokens"]}]:
            rows.append(
                [
                    row["name"] + who,
                    f"{row['tokens']:,}",
                    percent(row["accuracy"], 100),
                    percent(row["within_one_bin"], 100),
                    number(row["nll"]),
                    number(row["perplexity"]),
                ]
            )
    return [Table(["action", "tokens", "equal", "± 1 bin", "nats a token", "perplexity"], rows)]


def _parity(summary: dict[str, Any]) -> list[Block]:
    rows: list[list[str | Cell]] = []
    first = []
    for policy in summary["policies"]:
        for what, found in _runs(policy):
            if found is None:
                rows.append([f"{policy['name']}: {what}", "–", "–", "–", "–", "–"])
                continue
            rows.append(
                [
                    f"{policy['name']}: {what}",
                    f"{found['ticks']:,}",
                    *(
                        _equal(found[f"{k}_equal"], found["ticks"], what == "offline and live")
                        for k in ("observations", "actions", "commands")
                    ),
                    number(found["largest_difference"]),
                ]
            )
            if found["first_difference"]:
                first.append(
                    f"{policy['name']}, {what}: first difference: {found['first_difference']}."
                )
    columns = ["equal numbers in", "ticks", "observations", "actions", "commands", "largest diff."]
    return [Table(columns, rows), *map(Text, dict.fromkeys(first))]


def _runs(policy: dict[str, Any]) -> list[tuple[str, dict[str, Any] | None]]:
    runs = [("offline and recorded", policy["parity"])]
    if policy["live"] is not None:
        runs.append(("offline and live", policy["live"]["offline"]))
        runs.append(("live and recorded", policy["live"]["recorded"]))
    return runs


def _facts(summary: dict[str, Any], files: Mapping[str, str], machine: Mapping[str, str]) -> Facts:
    values = {"bag": summary["bag"], "contract": summary["contract"]}
    for policy in summary["policies"]:
        speed = policy["ticks_per_s"]
        values[f"policy {policy['name']}"] = f"{policy['bundle']}, {policy['runtime']}" + (
            f", {speed:,.0f} ticks/s offline" if speed else ""
        )
    return Facts({**values, **machine}, files)


def _equal(count: int | None, ticks: int, must: bool) -> str | Cell:
    """``must``: the same policy ran; another one than the recorded may differ."""
    if count is None:
        return "–"
    return Cell(f"{count:,}", "good" if count == ticks else "bad" if must else "")
