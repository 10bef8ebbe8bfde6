"""The model card of a bundle: how it was made, what was measured, where it ends."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

from lram_core.bundle import CONFIG, load_contracts, write_card
from lram_core.contract import PolicyContract
from lram_core.data.files import atomic_path
from lram_core.embodiments import Contracts
from lram_core.errors import DataError, listed
from lram_core.training.action_errors import describe_errors
from lram_core.training.provenance import collect_command, train_command
from lram_core.training.run_folder import read_metrics

CURVES = "loss.svg"
SPLIT = "hash of suite, task and seed"
"""How episodes are held out; a bundle that does not say so held them out at random."""


def model_card(contracts: Contracts, training: dict[str, Any], measured: str = "") -> str:
    """Return the card's Markdown.

    Args:
        contracts: of the bundle's embodiments.
        training: what ``config.json`` keeps under ``training``.
        measured: Markdown of measured results.
    """
    config = training["config"]
    options = ", ".join(f"{k} {v}" for k, v in config["backbone_options"].items())
    network = f"{config['backbone']} ({options}), {training['parameters'] / 1e6:.2f}M parameters"
    every = list(contracts.values())
    if len(every) == 1:
        only = every[0]
        title = f"{only.suite} ({only.robot}, {only.gripper})"
        about = (
            f"{network}, control rate {only.control_rate:g} Hz, "
            f"{len(only.target_returns) - 1} training tasks."
        )
        tables = f"## Contract\n\n{_contract(only)}"
    else:
        title = f"{len(every)} embodiments: {', '.join(contracts)}"
        about = f"{network}: one backbone for all embodiments.\n\n{_embodiments(every, training)}"
        tables = "\n".join(f"## Contract: {c.suite}\n\n{_contract(c)}" for c in every)
    return f"""# Policy for {title}

{about}
{measured}
## Training

{_phases(training, every)}
{tables}"""


def _embodiments(contracts: list[PolicyContract], training: dict[str, Any]) -> str:
    """The table of a bundle with several embodiments, with what is held out of each."""
    known, metrics = training["embodiments"], training["metrics"]
    rows = "\n".join(
        f"| {c.suite} | {c.robot}, {c.gripper} | {c.control_rate:g} Hz | {c.observation_size} "
        f"| {c.action_size} | {len(c.target_returns) - 1} | {known[c.suite]['episodes']} "
        f"| {known[c.suite]['share']:.3f} | "
        + " | ".join(f"{metrics[f'{c.suite}/{name}']:.4g}" for name in _METRICS)
        + f" | {describe_errors(c.action, metrics, f'{c.suite}/')} |"
        for c in contracts
    )
    return f"""| embodiment | robot, gripper | control rate | observation values | action values \
| tasks | demonstrations | share of the loss | held-out loss | right bin | mean absolute error |
|---|---|---|---|---|---|---|---|---|---|---|
{rows}
"""


_METRICS = ("loss", "accuracy")


def _contract(contract: PolicyContract) -> str:
    observation = "\n".join(
        f"| {f.name} | {f.size} | {f.unit} | {f.delay} |" for f in contract.observation
    )
    action = "\n".join(
        f"| {f.name} | {f.kind} | {f.unit} | {f.low:g} … {f.high:g} |" for f in contract.action
    )
    return f"""| observation field | values | unit | delay (ticks) |
|---|---|---|---|
{observation}

| action field | kind | unit | limits |
|---|---|---|---|
{action}

Reward: {contract.reward.definition} Scale {contract.reward.scale:g}.
"""


def write_measured_card(
    bundle: Path, results: dict[str, Path], run_folders: list[Path], limits: str = ""
) -> None:
    """Rewrite a bundle's card with measured results and loss curves.

    Args:
        bundle: the bundle.
        results: title → folder or file of ``lram eval``.
        run_folders: run folders of the training, in order; their curves go to ``loss.svg``.
        limits: what the policy is not good for, in Markdown.

    Raises:
        BundleError: no bundle there. DataError: a result or a run folder is unreadable.
    """
    contracts = load_contracts(bundle)
    training = json.loads((bundle / CONFIG).read_text())["training"]
    measured = "".join(_results(title, path) for title, path in results.items())
    if run_folders:
        with atomic_path(bundle / CURVES) as temporary:
            temporary.write_text(loss_curves(run_folders))
        measured += f"\n![Loss curves]({CURVES})\n"
    if limits:
        measured += f"\n## Limits\n\n{limits}\n"
    write_card(bundle, model_card(contracts, training, measured))


def loss_curves(run_folders: list[Path]) -> str:
    """Return an SVG of training and held-out loss over optimiser steps, runs one after another."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    offset = 0.0
    for number, folder in enumerate(run_folders):
        rows = read_metrics(folder)
        steps = [offset + row["step"] for row in rows]
        labels = ("training", "held out") if number == 0 else (None, None)
        axes.plot(steps, [row["train_loss"] for row in rows], color="#9db4c0", label=labels[0])
        axes.plot(steps, [row["loss"] for row in rows], color="#253237", label=labels[1])
        offset = steps[-1] if steps else offset
        if number + 1 < len(run_folders):
            axes.axvline(offset, color="#cccccc", linewidth=1, linestyle="--")
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("cross-entropy [nat]")
    axes.legend(frameon=False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _phases(training: dict[str, Any], contracts: list[PolicyContract]) -> str:
    """Describe a training and, before it, the one it continued.

    ``contracts`` are the bundle's; an earlier training may have been of other embodiments.
    """
    earlier = training["continues"]
    metrics, config = training["metrics"], training["config"]
    collected = set(earlier["paths"]) if earlier else set()
    commands = [
        collect_command(path, provenance)
        for path, provenance in zip(training["paths"], training["data"], strict=True)
        if path not in collected
    ]
    text = "\n".join([c for c in commands if c] + [train_command(training)])
    caveat = (
        " Episodes are held out anew in each phase: the earlier one was trained on most of these, "
        "so this loss is no measure of generalisation; the success rates at unseen seeds are."
        if earlier and not SPLIT == training.get("split") == earlier.get("split")
        else ""
    )
    streams = config["batch"] * config.get("accumulate", 1) * training.get("processes", 1)
    held_out = "Nothing was held out."
    if not math.isnan(metrics["loss"]):
        # Those of several embodiments are in their table.
        own = [c for c in contracts if c.suite in training.get("embodiments", ())] or contracts
        error = describe_errors(own[0].action, metrics)
        error = f", mean absolute error {error}" if error else ""
        held_out = (
            f"Held out: loss {metrics['loss']:.3f}, perplexity {metrics['perplexity']:.2f}, "
            f"right bin {metrics['accuracy']:.3f}{error}."
        )
    return (
        (_phases(earlier, contracts) if earlier else "")
        + f"""```sh
{text}
```

{training["episodes"]} demonstrations ({training["ticks"]} ticks); {training["steps"]} optimiser \
steps of {streams} × {config["context"]} ticks in {training["seconds"] / 60:.1f} min \
({training["machine"]}). {_best(training)}{held_out}{caveat}

"""
    )


def _best(training: dict[str, Any]) -> str:
    if training["config"].get("keep") != "best":
        return ""
    best = training["best_rollouts"]
    return (
        f"The weights are those of step {best['step']}, which did best in rollouts while training: "
        f"{best['success']:.3f}. "
    )


def _results(title: str, path: Path) -> str:
    file = path / "results.json" if path.is_dir() else path
    try:
        data = json.loads(file.read_text())
        mean, tasks, parameters = data["mean"], data["tasks"], data["parameters"]
        blocks, seeds = parameters["episodes"], listed(parameters["first_seeds"])
        suite = f"{parameters['suite']}: " if parameters.get("suite") else ""
        by_return = "normalised_return" in mean
        rows = [(_return_row if by_return else _success_row)(r) for r in [mean, *tasks]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a result of 'lram eval' ({error!r})") from None
    lines = "\n".join(rows)
    what, columns = _RETURN_TABLE if by_return else _SUCCESS_TABLE
    return f"""
## {title}

{suite}{blocks} episodes a task and block of seeds, from seed {seeds} (demonstrations use seeds \
below 1000000000), {what}.

{columns}
|---|---|---|---|---|---|---|
{lines}
"""


_SUCCESS_TABLE = (
    "success within 500 and within 200 ticks, 95 % Wilson intervals",
    "| task | episodes | success | 95 % | success in 200 | return | ticks |",
)
_RETURN_TABLE = (
    "return as a share of the task's reference return, 95 % bootstrap intervals",
    "| task | episodes | normalised | 95 % | return | least return | ticks |",
)


def _success_row(row: dict[str, Any]) -> str:
    return (
        f"| {row['name']} | {row['episodes']} | {row['success_rate']:.3f} "
        f"| {row['low']:.2f} – {row['high']:.2f} | {row['success_rate_200']:.3f} "
        f"| {row['mean_return']:.0f} | {row['mean_steps']:.0f} |"
    )


def _return_row(row: dict[str, Any]) -> str:
    return (
        f"| {row['name']} | {row['episodes']} | {row['normalised_return']:.3f} "
        f"| {row['low']:.2f} – {row['high']:.2f} | {row['mean_return']:.0f} "
        f"| {row['least_return']:.0f} | {row['mean_steps']:.0f} |"
    )
