"""The manual's table of training speed; apart, so that it needs none of the peers to be drawn."""

from __future__ import annotations

from typing import Any

WANTED = 1.5
"""Times the peer's speed."""


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``step``."""
    lines = [
        f"{report['machine']}, 1 thread, torch {report['torch']}; batches of {report['batch']} "
        f"windows of {report['context']} timesteps, float32; medians of {report['rounds']} steps "
        f"each, in turns. Wanted: {WANTED} × the peer.",
        "",
        "| size | model | parameters | timesteps/s | peer | timesteps/s | ours / peer | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for group in report["groups"]:
        rate = group["timesteps_per_s"]
        lines.append(
            f"| {group['size']} | {group['model']} | {group['parameters'] / 1e6:.2f}M "
            f"| {rate['ours']:,.0f} | {group['peer']} | {rate['peer']:,.0f} "
            f"| {group['ratio']:.2f} | {'met' if group['ratio'] >= WANTED else 'missed'} |"
        )
    return {"step": "\n".join(lines)}
