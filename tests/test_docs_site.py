"""The manual's build finds broken links; the pages made of the code say what the code does."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from lram_core.cli import cli
from lram_core.errors import ContractError
from lram_core.policy import Policy
from lram_core.training.config import TrainConfig
from lram_core.training.settings import RunSettings
from lram_ros.robot_contract import RobotContract
from lram_sim.suite_registry import suite_names

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
from reference_pages import (  # noqa: E402
    command_line,
    contract_schema,
    interfaces,
    parameters,
    python_api,
    settings,
    topics,
)

SOUND = {
    "README.md": "# Top\n\n[A page](docs/page.md#a-heading-with-code), [a file](robot.yaml).\n",
    "robot.yaml": "robot: none\n",
    "docs/index.md": "# Index\n\n```{toctree}\n../README\npage\n```\n",
    "docs/page.md": "# Page\n\nBack to [the top](../README.md).\n\n## A heading, with `code`\n"
    "\n{py:class}`lram_core.policy.Policy`, {py:attr}`numpy.ndarray.shape`\n",
}
BROKEN = {
    "another page": ("README.md", "[x](docs/nowhere.md)", "docs/nowhere.md"),
    "an anchor of another page": ("README.md", "[x](docs/page.md#no-heading)", "no-heading"),
    "an anchor of this page": ("docs/page.md", "[x](#none-here)", "none-here"),
    "a file of the repository": ("docs/page.md", "[x](../config/none.yaml)", "config/none.yaml"),
    "a picture": ("docs/page.md", "![x](none.svg)", "none.svg"),
    "a Python object": ("docs/page.md", "{py:class}`lram_core.policy.Gone`", "policy.Gone"),
    "a module": ("docs/page.md", "{py:mod}`lram_core.gone`", "lram_core.gone"),
    "a page without a place": ("docs/lost.md", "# Lost", "lost.md"),
}


def build(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Build a small manual as ``make docs`` builds the whole one, less the generated pages."""
    for name, text in files.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = (ROOT / "Makefile").read_text()
    (options,) = re.findall(r"^SPHINX := \$\(BIN\)/sphinx-build (.*)$", command, re.MULTILINE)
    words = [*options.split(), "-D", "generate_reference=0", "-c", str(ROOT / "docs")]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *words, str(folder / "source"), str(folder / "site")],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


def commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Every command below ``context`` with the words that call it."""
    yield context.command_path, context.command
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            yield from commands(click.Context(command, info_name=name, parent=context))


def test_a_sound_manual_is_built(tmp_path):
    done = build(tmp_path, SOUND)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site" / "README.html").read_text()
    assert 'href="docs/page.html#a-heading-with-code"' in page
    (copied,) = (tmp_path / "site" / "_downloads").rglob("robot.yaml")
    assert copied.read_text() == SOUND["robot.yaml"]


def test_every_kind_of_broken_link_fails_the_build(tmp_path):
    files = dict(SOUND)
    for name, text, _ in BROKEN.values():
        files[name] = files.get(name, "") + f"\n{text}\n"
    done = build(tmp_path, files)
    assert done.returncode == 1
    warnings = done.stderr.splitlines()
    for what, (_, _, named) in BROKEN.items():
        assert any("WARNING" in line and named in line for line in warnings), what


def test_the_page_of_the_command_line_has_every_option_of_every_command(tmp_path):
    index = "# Index\n\n```{toctree}\ncli\n```\n"
    done = build(tmp_path, {"docs/index.md": index, "docs/cli.rst": command_line.page()})
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "site" / "docs" / "cli.html").read_text()
    assert ".. option" not in page
    for path, command in commands(click.Context(cli, info_name="lram")):
        assert f'<section id="{path.replace(" ", "-")}"' in page, path
        for option in command.params:
            if isinstance(option, click.Option):
                name = max(option.opts, key=len).strip("-")
                assert f'id="cmdoption-{path.replace(" ", "-")}-{name}"' in page, (path, name)


def keys(value: object, where: str, found: dict[str, set[str]]) -> None:
    """Collect section → keys of a contract, with the sections named as the schema names them."""
    if isinstance(value, list):
        for each in value:
            keys(each, f"{where}[ ]", found)
        return
    if not isinstance(value, dict):
        return
    if where.endswith("fields"):
        for each in value.values():
            picture = isinstance(each, dict) and "height" in each
            keys(each, f"{where}: NAME{', a picture' * picture}", found)
        return
    found.setdefault(where, set()).update(value)
    for key, each in value.items():
        if key != "names":
            keys(each, key if where == contract_schema.ROOT else f"{where}: {key}", found)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_schema_has_every_key_of_a_shipped_contract(path):
    schema, found = contract_schema.schema(), {}
    keys(yaml.safe_load(path.read_text()), contract_schema.ROOT, found)
    for where, names in found.items():
        assert names <= set(schema[where]), where


def test_what_the_schema_requires_is_required():
    path = ROOT / "config" / "ur5e_joint_velocity.yaml"
    whole = yaml.safe_load(path.read_text())
    schema = contract_schema.schema()
    places = {contract_schema.ROOT: whole, "inputs[ ]": whole["inputs"][0]}
    places["commands[ ]"] = whole["commands"][0]
    checked = 0
    for where, mapping in places.items():
        for key in [name for name, key in schema[where].items() if not key.defaults]:
            if key == "command":  # has its alternative
                continue
            value = mapping.pop(key)
            with pytest.raises(ContractError, match=key):
                RobotContract.from_dict(whole)
            mapping[key] = value
            checked += 1
    RobotContract.from_dict(whole, str(path))
    assert checked >= 12


def test_the_manual_explains_every_key_of_the_schema():
    text = (ROOT / "docs" / "contract.md").read_text()
    for section in contract_schema.schema().values():
        for key in section:
            assert re.search(rf"\b{key}\b", text), key


def test_every_node_and_interface_has_its_place():
    text = parameters.page()
    nodes = {path.name for path in (ROOT / "scripts").iterdir()} - {"lram"}
    assert nodes < set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert "| `threads` | int | `1` | 1 … 256 |" in text
    assert "| `target_return` | float | NaN |  | yes |" in text
    text = interfaces.page()
    for path in [*(ROOT / "msg").iterdir(), *(ROOT / "srv").iterdir()]:
        assert f"### {path.stem}" in text
        assert path.read_text().rstrip() in text


def test_every_suite_and_service_has_its_topics():
    text = topics.page()
    assert all(f"`{name}`" in text or f"### {name}\n" in text for name in suite_names())
    assert "| answers | `~/rearm` | `std_srvs/srv/Trigger` |" in text
    goal = "| `goal` | `geometry_msgs/msg/PointStamped` | goal_position (3 × m): `point` |"
    assert goal in text.split("### metaworld")[1]


def test_guides_stand_under_how_to_and_the_exported_file_under_reference():
    text = (ROOT / "docs" / "index.md").read_text()
    trees = dict(re.findall(r"^:caption: (.*)\n((?:\S+\n)+)```", text, re.MULTILINE))
    guides = {f"howto/{path.stem}" for path in (ROOT / "docs" / "howto").glob("*.md")}
    assert list(trees)[:4] == ["Start", "How to", "Explanation", "Reference"]
    assert guides < set(trees["How to"].split())
    told = {f"explanation/{path.stem}" for path in (ROOT / "docs" / "explanation").glob("*.md")}
    assert told < set(trees["Explanation"].split())
    assert "export" in trees["Reference"].split()
    (row,) = re.findall(r"^\| \*\*How to\*\* \| (.*) \|$", text, re.MULTILINE)
    linked = set(re.findall(r"\]\(([^)]+)\.md\)", row))
    assert linked == set(trees["How to"].split())
    readme = (ROOT / "README.md").read_text()
    assert all(f"(docs/{page}.md)" in readme for page in guides | told)


def test_the_explanation_of_the_model_has_the_numbers_of_the_shipped_one():
    text = (ROOT / "docs" / "explanation" / "model.md").read_text()
    policy = Policy.load(ROOT / "models" / "metaworld-ml45", runtime="torch")
    state = policy.state().recurrent
    size = policy.contract.observation_size
    heads, rows, columns = state["0.C"].shape[1:]
    assert heads == 4
    assert f"observation ({size} numbers)" in text
    assert f"a matrix C of {rows} × {columns} numbers" in text
    assert f"──► {len([name for name in state if name.endswith('.C')])} blocks ──►" in text
    assert f"are {sum(part.nbytes for part in state.values()) / 1e3:.0f} kB" in text
    assert f"(for `reach-v3` {policy.contract.target_returns['reach-v3']:.0f})" in text


def test_every_training_setting_is_explained():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", settings.page(), re.MULTILINE))
    assert list(rows) == [each.name for each in dataclasses.fields(RunSettings)]
    for name, row in rows.items():
        kind, _default, _option, meaning = row.split(" | ")
        assert kind, name
        assert len(meaning.split()) >= 2, name
    assert rows["lr_end"].startswith("number, ≥ 0 | `1e-06` |  | learning rate that")
    assert rows["betas"].startswith("list, each: number, 0 … 1 | `0.9, 0.99` |")
    assert rows["batch"].startswith("integer, ≥ 1 | `16` | `--batch` | parallel streams")
    assert rows["keep"].startswith("`last`, `best` | `last` |  | ")
    assert rows["lr"].startswith("number, > 0 | ")


def test_a_setting_without_an_explanation_fails_the_manual(monkeypatch):
    text = TrainConfig.__doc__.replace("        clip: ", "        clipped: ")
    monkeypatch.setattr(TrainConfig, "__doc__", text)
    with pytest.raises(LookupError, match="'clip', 'clipped'"):
        settings.page()


def test_public_modules_exist():
    for _, modules in python_api.PUBLIC.values():
        for module in modules.split():
            folder = ROOT / "sim" if module.startswith("lram_sim") else ROOT
            assert (folder / module.replace(".", "/")).with_suffix(".py").is_file(), module
