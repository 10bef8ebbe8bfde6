"""The command ``lram``: one subcommand a job, each imported only when it is asked for.

``lram_core`` itself imports no simulator and no ROS; the table below names where a job lives.
"""

from __future__ import annotations

import importlib
import signal
import sys
from typing import Any

import click

from lram_core.errors import LramError

COMMANDS = {
    "collect": (
        "lram_sim.collect_command:collect",
        "Collect demonstrations from scripted experts.",
    ),
    "train-expert": (
        "lram_sim.train_expert_command:train_expert",
        "Train an expert for a DMControl task.",
    ),
    "data": ("lram_core.data.commands:data", "Inspect, merge, import and export datasets."),
    "train": ("lram_core.training.command:train", "Train a policy on a dataset; writes a bundle."),
    "card": ("lram_core.training.card_command:card", "Add measured results to a model card."),
    "eval": ("lram_sim.evaluate_command:evaluate", "Roll a bundle out in simulation, in-process."),
    "export": ("lram_core.export_command:export", "Write a bundle's tick as an ONNX file."),
    "bench": ("lram_core.bench.command:bench", "Time a bundle's control tick on this machine."),
    "contract": ("lram_ros.contract_commands:contract", "Show or check a robot contract."),
    "mock-robot": ("lram_ros.mock.command:mock_robot", "Serve a robot contract without a robot."),
    "monitor": ("lram_ros.monitor:monitor", "Show a running policy node live in the terminal."),
    "rearm": ("lram_ros.rearm:rearm", "Let a policy node that has stopped start again."),
    "replay": ("lram_ros.replay.command:replay", "Open a recording; ask a policy once more."),
    "demo": (
        "lram_ros.demo_command:demo",
        "Run simulator and policy as ROS 2 nodes, with a report.",
    ),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use, so that ``--help`` stays instant.

    ``table`` is command → (``module:attribute``, one line of help).
    """

    def __init__(
        self, *args: Any, table: dict[str, tuple[str, str]] | None = None, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._table = COMMANDS if table is None else table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        module, attribute = self._table[cmd_name][0].split(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            path = " ".join([*ctx.command_path.split()[1:], cmd_name])
            raise LramError(_missing(path, error)) from None
        command.name = cmd_name  # not the function's
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._table.items()])


def _missing(command: str, error: ModuleNotFoundError) -> str:
    name = error.name or str(error)
    if name.startswith(("lram_ros.msg", "lram_ros.srv")):
        return (
            f"'lram {command}' needs the package's ROS 2 messages, which are not built here: "
            "install with 'make env', or build the workspace with colcon"
        )
    if name.split(".")[0] in ("lram_core", "lram_sim", "lram_ros"):
        raise error
    return f"'lram {command}' needs the Python module '{name}', which is not installed"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lram_ros", prog_name="lram")
def cli() -> None:
    """Large Recurrent Action Models on ROS 2: collect, train, evaluate, run."""


def main() -> None:
    """Entry point: 0 done, 2 bad input (one line on stderr), 130 interrupted."""
    try:
        code = cli.main(standalone_mode=False)
    except (LramError, OSError) as error:
        # An OSError is about a file or folder the user named; its name is in the message.
        click.echo(f"error: {error}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 128 + signal.SIGINT
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
