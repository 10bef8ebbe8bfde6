"""The manual's table of training speed; apart, so that it needs none of the peers to be drawn."""

from __future__ import annotations

from typing import Any

WANTED = 1.5
"""Times the peer's speed."""
EXACT, ROUNDED = "ours, float32", "peer, autocast"
NAMES = ("ours", "ours, compiled", "peer", "peer, compiled")


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables ``step`` and ``precision``."""
    gpu = report.get("device", "cpu") != "cpu"
    carry = "" if report.get("carry", True) else ", no state carried"
    lines = [
        f"{report['machine']}, {'' if gpu else '1 thread, '}torch {report['torch']}; batches of "
        f"{report['batch']} windows of {report['context']} timesteps, "
        f"{_products(report, gpu)}{carry}; medians of {report['rounds']} steps "
        f"each, in turns. Wanted: {WANTED} × the peer as it is.",
        "",
        "| size | model | parameters | timesteps/s | compiled | peer | timesteps/s | compiled "
        "| ours / peer | compiled / peer | both compiled | |" + (" MFU |" if gpu else ""),
        "|---" * (13 if gpu else 12) + "|",
    ]
    for group in report["groups"]:
        rate = group["timesteps_per_s"]
        cells = [f"{rate[name]:,.0f}" if name in rate else "" for name in NAMES]
        mine, mine_compiled, peer, peer_compiled = cells
        best = max(rate.get(name, 0.0) for name in NAMES[:2]) / rate["peer"]
        lines.append(
            f"| {group['size']} | {group['model']} | {group['parameters'] / 1e6:.2f}M "
            f"| {mine} | {mine_compiled} | {group['peer']} | {peer} | {peer_compiled} "
            f"| {_ratio(rate, 'ours', 'peer')} | {_ratio(rate, NAMES[1], 'peer')} "
            f"| {_ratio(rate, NAMES[1], NAMES[3])} | {'met' if best >= WANTED else 'missed'} |"
            + (f" {max(group['mfu'].get(name, 0.0) for name in NAMES[:2]):.1%} |" if gpu else "")
        )
    return {"step": "\n".join(lines), "precision": _precisions(report)}


def _products(report: dict[str, Any], gpu: bool) -> str:
    if gpu:
        return "bfloat16"
    return "ours with bfloat16 products, peers in float32" if report.get("bf16") else "float32"


def _precisions(report: dict[str, Any]) -> str:
    """What each does in the other's precision; empty where there is one for all."""
    lines = [
        "| size | model | ours | float32 | peer | autocast | float32: ours / peer "
        "| ours / peer under autocast |",
        "|---" * 8 + "|",
    ]
    for group in report["groups"]:
        rate = group["timesteps_per_s"]
        if EXACT in rate:
            cells = [f"{rate[name]:,.0f}" for name in ("ours", EXACT, "peer", ROUNDED)]
            ratios = [_ratio(rate, EXACT, "peer"), _ratio(rate, "ours", ROUNDED)]
            lines.append("| " + " | ".join([group["size"], group["model"], *cells, *ratios]) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _ratio(rate: dict[str, float], ours: str, peer: str) -> str:
    return f"{rate[ours] / rate[peer]:.2f}" if ours in rate and peer in rate else ""
