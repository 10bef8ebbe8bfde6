"""Every command that the manual shows exists, with the options and parameters it is given."""

from __future__ import annotations

import ast
import importlib.util
import re

import click
import pytest
from documented_commands import MORE, PAGES, ROOT, Command, read_commands, simple_commands
from launch_reading import Description

from lram_core.cli import cli
from lram_ros import bag_player_node, episode_driver_node, policy_parameters, recorder
from lram_sim import bridge_node

FOUND = [each for page in PAGES for each in read_commands(page, page.read_text(encoding="utf-8"))]
LRAM = [each for each in FOUND if each.words[0].split("/")[-1] == "lram"]
PYTHON = [each for each in FOUND if re.fullmatch(r"python3?", each.words[0])]
OURS = r"(benchmarks|lram_core|lram_ros|lram_sim)\b.*|[\w-]+/.*\.py"
MODULES = [each for each in PYTHON if any(re.fullmatch(OURS, word) for word in each.words[1:3])]
ROS = [each for each in FOUND if each.words[:1] == ("ros2",)]
PARAMETERS = {
    "benchmarks.expert_node": policy_parameters,
    "lram_ros.bag_player_node": bag_player_node,
    "lram_ros.episode_driver_node": episode_driver_node,
    "lram_ros.policy_node": policy_parameters,
    "lram_ros.recorder": recorder,
    "lram_sim.bridge_node": bridge_node,
}
OF_ANY_NODE = {"use_sim_time"}


def placeholder(value: object) -> bool:
    return isinstance(value, str) and (value == MORE or value.isupper() or value.startswith("$"))


def check_lram(words: tuple[str, ...], whole: bool) -> None:
    """Parse the words behind ``lram`` and run nothing.

    Files need not exist. A value of another type, too many arguments, and in a ``whole`` command
    missing ones, raise :class:`click.UsageError`.
    """
    command: click.Command = cli
    context = click.Context(cli, info_name="lram")
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest or placeholder(rest[0]):
            assert not whole or rest, "a subcommand is missing"
            return
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no such command: {' '.join(words)}")
        context = click.Context(found, info_name=rest.pop(0), parent=context)
        command = found
    values, extra, _ = command.make_parser(context).parse_args(rest)
    if extra:
        raise click.UsageError(f"unexpected: {' '.join(extra)}")
    for parameter in command.params:
        value = values.get(parameter.name)
        several = value if isinstance(value, (list, tuple)) else [value]
        given = [each for each in several if isinstance(each, str)]
        if not given and parameter.required and whole:
            raise click.MissingParameter(ctx=context, param=parameter)
        if isinstance(parameter.type, (click.Path, click.File, click.Tuple)):
            continue
        for each in given:
            if not placeholder(each):
                parameter.type.convert(each, parameter, context)


def check_node(module: str, arguments: tuple[str, ...]) -> None:
    given = {word.split(":=")[0] for word in arguments if ":=" in word and "__" not in word}
    assert given <= {*PARAMETERS[module].PARAMETERS, *OF_ANY_NODE}, module


@pytest.mark.parametrize("command", LRAM, ids=str)
def test_lram_command_is_understood(command: Command) -> None:
    check_lram(command.words[1:], command.whole)


@pytest.mark.parametrize("command", MODULES, ids=str)
def test_python_module_exists(command: Command) -> None:
    if command.words[1] != "-m":
        assert (ROOT / command.words[1]).is_file()
        return
    module, *arguments = command.words[2:]
    assert importlib.util.find_spec(module) is not None
    if "--ros-args" in arguments:
        check_node(module, tuple(arguments))


@pytest.mark.parametrize("command", ROS, ids=str)
def test_what_ros2_starts_exists(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    match command.words[1:]:
        case "run", "lram_ros", executable, *arguments:
            source = ast.parse((ROOT / "scripts" / executable).read_text())
            if executable != "lram":
                (module,) = (
                    each.module for each in source.body if isinstance(each, ast.ImportFrom)
                )
                check_node(module, tuple(arguments))
        case "launch", "lram_ros", file, *arguments:
            known = Description(ROOT / "launch" / file, monkeypatch).arguments
            assert {each.split(":=")[0] for each in arguments if ":=" in each} <= set(known)
        case verb, *_:
            assert verb in {"bag", "launch", "lifecycle", "param", "security", "service", "topic"}


def test_commands_were_found() -> None:
    subcommands = {each.words[1] for each in LRAM if each.whole}
    assert subcommands >= {"collect", "train", "eval", "export", "replay", "data", "mock-robot"}
    assert {each.words[2] for each in MODULES if each.whole} >= set(PARAMETERS)
    assert {each.words[1] for each in ROS} >= {"run", "launch"}
    assert {each.page for each in LRAM if each.whole} >= {
        "README.md",
        "docs/tutorial.md",
        *(f"docs/howto/{name}.md" for name in ("robot", "simulator_task", "fine_tune")),
    }


def test_every_option_is_explained() -> None:
    commands = [click.Context(cli, info_name="lram")]
    for context in commands:  # grows while it is walked
        if isinstance(context.command, click.Group):
            for name in context.command.list_commands(context):
                found = context.command.get_command(context, name)
                assert found is not None
                commands.append(click.Context(found, info_name=name, parent=context))
        assert context.command.help, context.command_path
        for option in context.command.params:
            if isinstance(option, click.Option):
                where = f"{context.command_path} {option.opts[0]}"
                # A sentence of its own, that says what is given.
                assert re.match(r"(?!Of |Which )[A-Z\d].*[.)\]]$", option.help or "", re.S), where
    assert len(commands) > 25


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lram eval --expert  # a comment", [("lram", "eval", "--expert")]),
        ("lram a > f.yaml && lram b &", [("lram", "a"), ("f.yaml",), ("lram", "b")]),
        ("OMP_NUM_THREADS=1 lram a", [("lram", "a")]),
        ("lram a BAG [--policy B …] [-o F]", [("lram", "a", "BAG", "--policy", "B", "-o", "F")]),
        ("lram eval --bundle … --tasks x", [("lram", "eval", "--bundle", "…", "--tasks", "x")]),
        ("for a in b; do lram x --y $a", [("for", "a", "in", "b"), ("lram", "x", "--y", "$a")]),
    ],
)
def test_a_line_is_split_as_a_shell_does(line: str, words: list[tuple[str, ...]]) -> None:
    assert simple_commands(line) == words


@pytest.mark.parametrize(
    "line",
    [
        "evaluate",
        "eval --no-such-option",
        "eval --episodes few",
        "export models/a models/b",
        "data import rosbag3 demos",
        "train --optimizer sgd --data a --out b",
        "contract check models/mine",
        "collect metaworld --tasks reach-v3",
    ],
)
def test_a_wrong_command_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        check_lram(tuple(line.split()), whole=True)
