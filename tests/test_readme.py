"""The README's commands and links hold."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lram_core.cli import cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```\n(.*?)```", README, flags=re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
LINES = [*(line for block in BLOCKS for line in block.splitlines()), *INLINE]
COMMANDS = sorted({m[1] for line in LINES if (m := re.fullmatch(r"(?:\S*/)?lram (\S.*)", line))})


def test_commands_were_found():
    assert {command.split()[0] for command in COMMANDS} >= {"collect", "train", "eval", "demo"}


@pytest.mark.parametrize("text", COMMANDS)
def test_command_line_is_understood(text):
    name, *arguments = shlex.split(text)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    context = click.Context(command, info_name=name)
    command.make_parser(context).parse_args(arguments)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_link_leads_somewhere(link):
    assert (ROOT / link).exists()
