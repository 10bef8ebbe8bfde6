"""Reads the command lines out of the manual's pages."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "domains").glob("*.md")),
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
]
_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SHELL = {"", "bash", "sh", "console"}
_DRAWING = re.compile(r"[─│┬►]")
_KEYWORDS = {"do", "then", "else", "time"}
MORE = "…"


@dataclass(frozen=True)
class Command:
    """A simple command, as a shell splits a line.

    Attributes:
        page: where it stands, relative to the repository.
        words: its name and its arguments, without assignments before them.
        whole: stands in a fenced block, to be run as it is; else in a sentence, maybe in part.
    """

    page: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"


def simple_commands(line: str) -> list[tuple[str, ...]]:
    """Split a line at pipes, redirections, ``&`` and ``;``.

    A synopsis counts as a command with everything in it that may be left out.
    """
    plain = re.sub(r"(?<!\S)\[|\](?!\S)", " ", line)
    splitter = shlex.shlex(plain, posix=True, punctuation_chars=True)
    splitter.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in splitter:
        words = found[-1]
        if set(word) <= set("();<>|&"):
            found.append([])
        elif not words and (word in _KEYWORDS or re.match(r"\w+=", word)):
            continue
        elif word == MORE and words and not words[-1].startswith("-"):
            continue  # DATASET …: as many as there are
        else:
            words.append(word)
    return [tuple(words) for words in found if words]


def read_commands(page: Path, text: str) -> list[Command]:
    """All commands of a page's shell blocks, and of its inline code where that begins as one."""
    blocks = [body for language, body in _FENCE.findall(text) if language in _SHELL]
    lines = [(line, True) for body in blocks for line in body.replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    lines += [(each, False) for each in inline if re.match(r"(lram|python|ros2) \S", each)]
    found = [
        Command(str(page.relative_to(ROOT)), words, whole)
        for line, whole in lines
        if not _DRAWING.search(line)
        for words in simple_commands(line)
    ]
    return list(dict.fromkeys(found))
