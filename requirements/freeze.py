"""Writes constraints.txt from the environment it runs in: .venv/bin/python requirements/freeze.py

Only what pip installed counts (the ROS wheels carry more metadata of their own); what does not
support the oldest Python of this project is pinned for those it supports alone.
"""

from __future__ import annotations

from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.version import Version

OLDEST, NEXT = "3.10", "3.11.0"
HEADER = """\
# Exact versions of everything that the tests run with; written by requirements/freeze.py.
# pip install -c requirements/constraints.txt -r requirements/ros-kilted.txt
# pip install -c requirements/constraints.txt -e ".[ros,sim,onnx,data,train,docs,dev]"
"""
NOT_PINNED = {"lram_ros", "pip", "setuptools", "wheel"}


def pin(distribution: Distribution) -> str:
    version = Version(distribution.version).public
    line = f"{distribution.name}=={version}"
    needs = SpecifierSet(distribution.metadata.get("Requires-Python") or "")
    if NEXT not in needs:  # as where 3.11.5 is needed: Debian 12 has 3.11.2
        each = sorted(f'python_full_version {part.operator} "{part.version}"' for part in needs)
        line += f" ; {' and '.join(each)}"
    elif OLDEST not in needs:
        line += f' ; python_version > "{OLDEST}"'
    return line


def main() -> None:
    installed = (d for d in distributions() if (d.read_text("INSTALLER") or "").strip() == "pip")
    pins = {pin(d) for d in installed if d.name not in NOT_PINNED}
    target = Path(__file__).with_name("constraints.txt")
    target.write_text(HEADER + "\n".join(sorted(pins, key=str.lower)) + "\n")
    print(f"{len(pins)} pins in {target}")


if __name__ == "__main__":
    main()
