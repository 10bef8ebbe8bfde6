"""The command ``lram monitor``: what the policy node says on /diagnostics, live in a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lram_core.errors import CommandError
from lram_core.signals import StopRequest, run_process

_SILENT_S = 3.0
_ONCE_S = 10.0  # a running node reports once a second
_STYLE = {0: "green", 1: "yellow", 2: "bold red", 3: "red"}
_TIMES = ("p50", "p95", "p99", "max")


@click.command()
@click.argument("ros_arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--node", default="policy", show_default=True, help="Name of the policy node.")
@click.option("--once", is_flag=True, help="Print one report and end; wait 10 s for it.")
def monitor(ros_arguments: tuple[str, ...], node: str, once: bool) -> None:
    """Show a policy node's loop rate, stage times, input ages and safety state, live.

    Reads /diagnostics, once a second. ROS arguments go behind "--". Ends on Ctrl-C.
    """

    def body(stop: StopRequest) -> None:
        from lram_ros.process import ros

        with ros(["monitor", *ros_arguments]):
            watch(node, once, stop, Console())

    sys.exit(run_process(body))


def watch(name: str, once: bool, stop: StopRequest, console: Console) -> None:
    """Show the reports of the node ``name`` until ``stop``; with ``once``, print the first.

    Raises:
        CommandError: with ``once``, none came in ten seconds.
    """
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.node import Node

    from lram_ros.process import SPIN_S, make_executor
    from lram_ros.qos import data_qos

    node, found = Node("lram_monitor"), []  # type: ignore[var-annotated]

    def take(message: Any) -> None:
        report = [status for status in message.status if status.name.startswith(f"{name}: ")]
        if report:
            found[:] = [report, time.monotonic()]

    node.create_subscription(DiagnosticArray, "/diagnostics", take, data_qos())
    executor = make_executor(node.context)
    executor.add_node(node)
    deadline = time.monotonic() + _ONCE_S
    try:
        with Live(console=console, auto_refresh=False, transient=once) as live:
            while not stop and not (once and found):
                executor.spin_once(timeout_sec=SPIN_S)
                if once and not found and time.monotonic() > deadline:
                    raise CommandError(f"no report of {name} on /diagnostics after {_ONCE_S:g} s")
                silent = time.monotonic() - found[1] if found else 0.0
                shown = render(found[0], silent) if found else Text(f"waiting for {name} …")
                live.update(shown, refresh=True)
        if once and found:
            console.print(render(found[0]))
    finally:
        executor.shutdown()
        node.destroy_node()


def render(report: list[Any], silent: float = 0.0) -> RenderableType:
    """Return the statuses of one report; ``silent`` is the report's age in seconds."""
    parts: list[RenderableType] = []
    if silent > _SILENT_S:
        parts.append(Text(f"no report for {silent:.0f} s", style="bold red"))
    for status in report:
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        parts.append(Text(f"{status.name}: {status.message}", style=_STYLE.get(level, "")))
        values = {pair.key: pair.value for pair in status.values}
        stages = [key.removesuffix(" p50 [ms]") for key in values if key.endswith(" p50 [ms]")]
        # jitter has fewer percentiles: it stays among the plain figures
        stages = [stage for stage in stages if f"{stage} p95 [ms]" in values]
        if stages:
            parts.append(_stages(stages, values))
        plain = Table.grid(padding=(0, 2))
        for key, value in values.items():
            if not any(
                key.startswith(f"{stage} p") or key == f"{stage} max [ms]" for stage in stages
            ):
                plain.add_row("", Text(key, style="dim"), Text(value))
        parts.append(plain)
    return Group(*parts)


def _stages(stages: list[str], values: dict[str, str]) -> Table:
    table = Table(escape("stage [ms]"), *_TIMES, box=None, padding=(0, 2))
    for stage in stages:
        table.add_row(stage, *(values.get(f"{stage} {name} [ms]", "") for name in _TIMES))
    return table
