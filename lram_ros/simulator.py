"""What a run asks of the simulator before it starts, in a process that may import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lram_core.errors import CommandError
from lram_ros.paths import find_shared


def check_drawing() -> None:
    """Raises CommandError, naming what to install, where the simulator can draw no pictures."""
    _ask("lram_sim.drawing")


def tasks_of(suite: str, choice: str) -> list[str]:
    """Return the tasks that a list of tasks and splits of a suite names, separated by commas.

    Raises:
        CommandError: there is no such suite, task or split, or it needs what is not installed.
    """
    return _ask("lram_sim.task_choice", suite, choice).split()


def robot_contract(suite: str, path: Path) -> Path:
    """Return the robot contract of a suite: the one that is shipped, or one written to ``path``.

    Raises:
        CommandError: there is no such suite, or it needs what is not installed.
    """
    try:
        return find_shared(f"config/{suite.replace('-', '_')}.yaml")
    except CommandError:
        path.write_text(_ask("lram_sim.contract_text", suite))
        return path


def _ask(module: str, *arguments: str) -> str:
    """Run a module that ends at once; returns what it wrote. Raises CommandError if it fails."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or f"{module} ended with code {done.returncode}").splitlines()
        raise CommandError(last[-1].removeprefix("error: "))
    return done.stdout
