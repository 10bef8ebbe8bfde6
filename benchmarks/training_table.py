"""The manual's table of training speed; apart, so that it needs none of the peers to be drawn."""

from __future__ import annotations

from typing import Any

WANTED = 1.5
"""Times the peer's speed."""
NAMES = ("ours", "ours, compiled", "peer", "peer, compiled")


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``step``."""
    gpu = report.get("device", "cpu") != "cpu"
    carry = "" if report.get("carry", True) else ", no state carried"
    lines = [
        f"{report['machine']}, {'' if gpu else '1 thread, '}torch {report['torch']}; batches of "
        f"{report['batch']} windows of {report['context']} timesteps, "
        f"{'bfloat16' if gpu else 'float32'}{carry}; medians of {report['rounds']} steps "
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
    return {"step": "\n".join(lines)}


def _ratio(rate: dict[str, float], ours: str, peer: str) -> str:
    return f"{rate[ours] / rate[peer]:.2f}" if ours in rate and peer in rate else ""
