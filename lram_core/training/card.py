"""The model card written with a bundle: facts of the training; measured results are added to it."""

from __future__ import annotations

from typing import Any

from lram_core.contract import PolicyContract


def model_card(contract: PolicyContract, summary: dict[str, Any]) -> str:
    """Return the card's Markdown."""
    config, metrics = summary["config"], summary["metrics"]
    options = ", ".join(f"{k} {v}" for k, v in config["backbone_options"].items())
    observation = "\n".join(
        f"| {f.name} | {f.size} | {f.unit} | {f.delay} |" for f in contract.observation
    )
    action = "\n".join(
        f"| {f.name} | {f.kind} | {f.unit} | {f.low:g} … {f.high:g} |" for f in contract.action
    )
    return f"""# Policy for {contract.suite} ({contract.robot}, {contract.gripper})

{config["backbone"]} ({options}), {summary["parameters"] / 1e6:.2f}M parameters, control rate
{contract.control_rate:g} Hz, trained on {summary["episodes"]} demonstrations
({summary["ticks"]} ticks) of {len(contract.target_returns) - 1} tasks.

| training | |
|---|---|
| optimiser steps | {summary["steps"]} of {config["batch"]} × {config["context"]} ticks |
| time | {summary["seconds"] / 60:.1f} min on {config["device"]} |
| held-out loss (perplexity) | {metrics["loss"]:.4f} ({metrics["perplexity"]:.3f}) |
| held-out bin accuracy | {metrics["accuracy"]:.3f} |
| held-out mean absolute error | {metrics["mae"]:.4f} |

## Observation

| field | values | unit | delay (ticks) |
|---|---|---|---|
{observation}

## Action

| field | kind | unit | limits |
|---|---|---|---|
{action}

Reward: {contract.reward.definition} (scale {contract.reward.scale:g}).
"""
