"""Which package may import which: the core runs on a machine with neither ROS nor a simulator."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    # Message code, and a library that is loaded but is no Python module.
    others = ("lram_ros.msg", "lram_ros.srv", "lram_ros.lram_ros_s__", "lram_core.native.liblram")
    if not module.name.startswith(others):
        importlib.import_module(module.name)
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("lram_ros")))
"""


def imported(package: str) -> tuple[set[str], set[str]]:
    """Return the top-level modules and the ``lram_ros`` modules that a whole package brings in."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, package], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[-2:]
    return set(first.split()), set(second.split())


@pytest.mark.parametrize(
    ("package", "never"),
    [
        (
            "lram_core",
            {"rclpy", "mujoco", "metaworld", "lram_sim", "lram_ros", "xlstm", "onnxruntime"},
        ),
        ("lram_ros", {"mujoco", "metaworld", "lram_sim"}),
    ],
)
def test_walls(package: str, never: set[str]) -> None:
    modules, _ = imported(package)
    assert package in modules
    assert not modules & never


def test_the_simulator_uses_nothing_of_the_nodes_but_their_messages() -> None:
    _, nodes = imported("lram_sim")
    for name in nodes - {"lram_ros"}:
        assert name.startswith(("lram_ros.msg", "lram_ros.srv", "lram_ros.lram_ros_s__")), name


def test_what_compiles_nothing_does_not_import_the_compiler() -> None:
    """It takes seconds, at the start of each node and command."""
    modules = ("lram_core.policy", "lram_core.training.train", "lram_ros.policy_node")
    program = f"import sys, {', '.join(modules)}\nprint('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
