"""What is said of a suite that does not exist."""

from __future__ import annotations

import re

import pytest

from lram_core.errors import TaskError
from lram_sim.suite_families import told
from lram_sim.suite_registry import get_suite, suite_names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("robosuite-pandas", "robosuite-panda, robosuite-panda-osc"),
        ("dmcontrol-walkr", "dmcontrol-walker"),
        ("metawrld", "metaworld"),
    ],
)
def test_the_nearest_come_first(name: str, nearest: str) -> None:
    with pytest.raises(TaskError, match=rf"^unknown suite '{name}'; nearest: {nearest}; available"):
        get_suite(name)


@pytest.mark.parametrize("name", ["robosuite-baxter", "composuite"])
def test_of_a_family_its_own_suites_are_listed(name: str) -> None:
    with pytest.raises(TaskError) as caught:
        get_suite(name)
    family = name.partition("-")[0]
    found, others = str(caught.value).split("; other families: ")
    prefix = f"unknown suite '{name}'; available: {family}-{{"
    assert found.startswith(prefix)
    members = found.removeprefix(prefix).removesuffix("}").split(", ")
    assert [f"{family}-{each}" for each in members] == [
        each for each in suite_names() if each.startswith(family)
    ]
    assert family not in others
    assert "metaworld" in others


def test_all_names_are_told() -> None:
    names = suite_names()
    text = told(names)
    found = []
    for whole, family, members in re.findall(r"(([\w-]+)-\{(.*?)\}|[\w-]+)", text):
        found += [f"{family}-{each}" for each in members.split(", ")] if family else [whole]
    assert found == names
