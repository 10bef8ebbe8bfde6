"""Make a shipped bundle again, by the commands that made it.

    python -m benchmarks.reproduce metaworld-ml45 --dry-run
    python -m benchmarks.reproduce metaworld-ml45

The commands are a table, ``reproduce.yaml``. They run one after another in a folder of their own,
so nothing that is shipped is replaced. A dataset or a bundle appears when it is complete: a step
whose output is there is done, and one that was cut off goes on. Where an expert fails, the step
ends with an error and the episodes that it has are kept: run again, they are taken as they are.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from lram_core.errors import CommandError, LramError, listed

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("reproduce.yaml")


@dataclass(frozen=True)
class Step:
    """A command of ``lram``.

    Attributes:
        words: the command, ``lram`` first. out: the folder that it makes, its ``--out``.
    """

    words: tuple[str, ...]
    out: Path

    @classmethod
    def parse(cls, text: str) -> Step:
        """Read a command line. Raises CommandError: it is none of ``lram``, or names no --out."""
        words = tuple(shlex.split(text))
        if words[:1] != ("lram",) or "--out" not in words[:-1]:
            raise CommandError(f"expected a command 'lram … --out FOLDER', found '{text}'")
        return cls(words, Path(words[words.index("--out") + 1]))

    def done(self, work: Path) -> bool:
        return (work / self.out).exists()

    def run(self, work: Path) -> int:
        """Run the command in ``work``; returns its exit code."""
        paths = [str(ROOT), str(ROOT / "sim"), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "lram_core.cli", *self.words[1:]],
            cwd=work,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        ).returncode


def read_steps(name: str) -> list[Step]:
    """Return the steps of a bundle. Raises CommandError: there is none of that name."""
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    if name not in table:
        raise CommandError(f"no bundle '{name}' in {TABLE.name}; available: {listed(table)}")
    return [Step.parse(text) for text in table[name]]


def reproduce(name: str, work: Path, dry_run: bool) -> None:
    """Run the steps of a bundle that are not done.

    Args:
        name: of the bundle.
        work: folder that the commands run in.
        dry_run: print all steps, and run none.

    Raises:
        CommandError: unknown name, or a step failed; what was made before it is kept.
    """
    steps = read_steps(name)
    print(f"# {name}: {len(steps)} steps, in {work}", flush=True)
    for number, step in enumerate(steps, 1):
        done = step.done(work)
        print(shlex.join(step.words) + ("  # done" if done else ""), flush=True)
        if done or dry_run:
            continue
        work.mkdir(parents=True, exist_ok=True)
        if code := step.run(work):
            raise CommandError(
                f"step {number} of {len(steps)} ended with code {code}: the same command goes on "
                "from here"
            )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help=f"of the bundle, as in {TABLE.name}")
    parser.add_argument("--dry-run", action="store_true", help="print the steps, run none")
    parser.add_argument("--work", type=Path, help="default: runs/reproduce/NAME")
    args = parser.parse_args(arguments)
    try:
        reproduce(args.name, args.work or Path("runs/reproduce") / args.name, args.dry_run)
    except LramError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
