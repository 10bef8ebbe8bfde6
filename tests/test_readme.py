"""The README's links hold, and the Python of the pages that show whole programs runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PRINTED = {
    "README.md": r"success after \d+ ticks",
    "docs/contract.md": r"ActionCommand\(.*'ee_dx'",
    "docs/runtimes.md": r"\w+ \(fp32",
}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_link_leads_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("page", PRINTED)
def test_python_runs(page, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for example in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M):
        exec(compile(example, page, "exec"), {})
    assert re.search(PRINTED[page], capsys.readouterr().out)
