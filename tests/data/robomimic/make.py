"""Writes ``lift.hdf5`` beside this file with robosuite's and robomimic's own code: README.md."""

from __future__ import annotations

import json
import runpy
import sys
import tempfile
import types
from glob import glob
from pathlib import Path

import h5py
import numpy as np
import robosuite
import torch
from robosuite.wrappers import DataCollectionWrapper

LENGTHS = (6, 9, 4)
CONFIG = {
    "env_name": "Lift",
    "robots": "Panda",
    "control_freq": 20,
    "has_renderer": False,
    "has_offscreen_renderer": False,
    "use_camera_obs": False,
    "reward_shaping": True,
}


def collect(folder: Path) -> str:
    """Random episodes through the wrapper that robosuite's own collection uses."""
    controller = robosuite.load_composite_controller_config(robot="Panda")
    config = {**CONFIG, "controller_configs": controller}
    env = DataCollectionWrapper(robosuite.make(**config), str(folder))
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        env.reset()
        for _ in range(length):
            env.step(rng.uniform(-1, 1, env.action_dim))
    env.close()
    return json.dumps(config)


def gather(folder: Path, out: Path, info: str) -> None:
    """One file of all episodes, as robosuite's collection script lays it out."""
    with h5py.File(out, "w") as file:
        data = file.create_group("data")
        for number, episode in enumerate(sorted(glob(f"{folder}/ep_*"), key=len), 1):
            states, actions = [], []
            for part in sorted(glob(f"{episode}/state_*.npz")):
                content = np.load(part, allow_pickle=True)
                states.extend(content["states"])
                actions.extend(info["actions"] for info in content["action_infos"])
            demo = data.create_group(f"demo_{number}")
            demo.attrs["model_file"] = Path(episode, "model.xml").read_text()
            demo.create_dataset("states", data=np.array(states[: len(actions)]))
            demo.create_dataset("actions", data=np.array(actions))
        data.attrs["env"] = CONFIG["env_name"]
        data.attrs["env_info"] = info
        data.attrs["repository_version"] = robosuite.__version__


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        info = collect(folder / "raw")
        raw = folder / "demo.hdf5"
        gather(folder / "raw", raw, info)
        run("robomimic.scripts.conversion.convert_robosuite", "--dataset", str(raw))
        run(
            "robomimic.scripts.dataset_states_to_obs",
            *("--dataset", str(raw), "--output_name", "lift.hdf5", "--done_mode", "2"),
        )
        slim(folder / "lift.hdf5", Path(__file__).with_name("lift.hdf5"))


def run(module: str, *arguments: str) -> None:
    """Run one of robomimic's scripts."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__")


def slim(source: Path, out: Path) -> None:
    """A copy without the simulator's states and models, which make up most of the file."""
    with h5py.File(source) as file, h5py.File(out, "w") as copy:
        file.copy("mask", copy)
        data = copy.create_group("data")
        for name, value in file["data"].attrs.items():
            data.attrs[name] = value
        for name, demo in file["data"].items():
            group = data.create_group(name)
            group.attrs["num_samples"] = demo.attrs["num_samples"]
            for key in demo:
                if key not in ("states", "next_obs"):
                    demo.copy(key, group)


if __name__ == "__main__":
    # robomimic imports torchvision; an operator that a torchvision of another build lacks does not
    # matter here.
    # It also names mujoco_py, which nobody uses any more, for an exception's class.
    sys.modules["mujoco_py"] = types.ModuleType("mujoco_py")
    torch.library.define("torchvision::nms", "(Tensor a, Tensor b, float c) -> Tensor")
    main()
