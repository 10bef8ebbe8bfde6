"""Pictures of a real camera in the observation: encoder, training, control, export."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import load_bundle
from lram_core.contract import ActionField, ObservationField, RewardSpec, pictures
from lram_core.data.parts import merge_parts, write_part
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.errors import BundleError, ContractError, RuntimeUnavailable
from lram_core.image_encoder import ImageEncoder, PictureColumns
from lram_core.onnx_export.export import export_bundle
from lram_core.policy import Policy
from lram_core.training.config import TrainConfig
from lram_core.training.train import train

HEIGHT, WIDTH = 12, 16
PIXELS = HEIGHT * WIDTH * 3
SCHEMA = DatasetSchema(
    suite="ball",
    robot="camera",
    gripper="none",
    control_rate=10.0,
    observation=(
        ObservationField("speed", 1, "m/s"),
        ObservationField("camera", PIXELS, "1", picture=(HEIGHT, WIDTH, 3)),
        ObservationField("speed", 1, "m/s", delay=1),
    ),
    action=(ActionField("aim", "m", "joint_position", -1.0, 1.0),),
    reward=RewardSpec("none", scale=1.0),
    max_episode_steps=20,
)
SCENE = """
<mujoco>
  <visual><global offwidth="64" offheight="64"/></visual>
  <worldbody>
    <light pos="0 -1 3"/>
    <camera name="front" pos="0 -4 0" euler="90 0 0"/>
    <body name="ball"><joint name="x" type="slide" axis="1 0 0"/>
      <geom type="sphere" size=".4" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>
"""
# In a process of its own: which GL is used is settled when MuJoCo is imported, once a process.
RENDER = """
import sys
import mujoco
import numpy as np
scene, places, out, height, width = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
model = mujoco.MjModel.from_xml_string(scene)
data = mujoco.MjData(model)
pictures = []
with mujoco.Renderer(model, height, width) as renderer:
    for place in np.load(places):
        data.qpos[0] = place
        mujoco.mj_forward(model, data)
        renderer.update_scene(data, camera="front")
        pictures.append(renderer.render())
np.save(out, pictures)
"""
CONFIG = TrainConfig(
    backbone_options={"d_model": 32, "num_layers": 1, "num_heads": 2},
    bins=8,
    batch=4,
    context=8,
    steps=200,
    warmup=5,
    lr=4e-3,
    ema=0.8,
    device="cpu",
    evaluate_every=200,
    evaluation_windows=2,
    tracker="none",
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Episode]]:
    """A ball at random places before a camera; the action is where it is, seen in no number."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("ball")
    drawn = [(rng.uniform(-0.95, 0.95, 12), rng.normal(size=(12, 1))) for _ in range(10)]
    places = np.stack([place for place, _ in drawn])
    np.save(folder / "places.npy", places.reshape(-1))
    words = [SCENE, str(folder / "places.npy"), str(folder / "seen.npy"), str(HEIGHT), str(WIDTH)]
    subprocess.run(
        [sys.executable, "-c", RENDER, *words], check=True, env={**os.environ, "MUJOCO_GL": "egl"}
    )
    seen = np.load(folder / "seen.npy").reshape(10, 12, PIXELS) / 255
    episodes = []
    for seed in range(10):
        speed = drawn[seed][1]
        observations = np.concatenate([speed, seen[seed], speed], axis=1)
        episodes.append(
            Episode(
                observations.astype(np.float32), places[seed][:, None].astype(np.float32),
                np.zeros(12, np.float32), "aim", seed, True, 0.0,
            )
        )  # fmt: skip
    write_part(folder / "part.npz", episodes)
    merge_parts([folder / "part.npz"], folder / "data", SCHEMA, {"command": "test"})
    return folder / "data", episodes


@pytest.fixture(scope="module")
def bundle(recorded: tuple[Path, list[Episode]]) -> Path:
    out = recorded[0].with_name("bundle")
    metrics = train([recorded[0]], out, out.with_name("run"), CONFIG)
    assert metrics["train_loss"] < np.log(CONFIG.bins)
    # Held-out pictures; the mean error of a blind policy is 0.48 at best.
    assert metrics["mae_m"] < 0.4
    return out


def test_the_policy_acts_on_pictures_as_it_was_trained(
    bundle: Path, recorded: tuple[Path, list[Episode]]
) -> None:
    policy = Policy.load(bundle, runtime="torch")
    assert policy.contract.observation == SCHEMA.observation
    episode = recorded[1][0]
    policy.reset(target_return=0.0)
    chosen = np.array([policy.act(seen, 0.0).values[0] for seen in episode.observations])
    assert np.median(np.abs(chosen - episode.actions[:, 0])) < 0.25, "more than a bin"
    model, _ = load_bundle(bundle)
    zeros = torch.zeros(1, len(chosen))
    start = torch.zeros(1, len(chosen), dtype=torch.bool)
    start[0, 0] = True
    logits, _ = model(torch.from_numpy(episode.observations)[None], zeros, zeros, start)
    bins = logits[0, :, 0].argmax(-1).numpy()
    np.testing.assert_allclose(chosen, -1 + (bins + 0.5) * 2 / CONFIG.bins, atol=1e-6)


def test_the_tick_with_pictures_is_exported(bundle: Path) -> None:
    path, parity = export_bundle(bundle, ticks=20)
    assert path.is_file()
    assert parity.passed
    with pytest.raises(RuntimeUnavailable, match="no convolutions, and the model sees pictures"):
        Policy.load(bundle, runtime="native")


def test_the_encoder_is_that_of_impala() -> None:
    """64 × 64 pixels become 2048 features, as in the paper; leading dimensions are kept."""
    encoder = ImageEncoder((64, 64, 3), 32)
    assert encoder.project.in_features == 2048
    assert sum(p.numel() for p in encoder.stages.parameters()) == sum(
        9 * i * o + o + 4 * (9 * o * o + o) for i, o in ((3, 16), (16, 32), (32, 32))
    )
    pixels = torch.rand(2, 3, 64 * 64 * 3)
    encoded = encoder(pixels)
    assert encoded.shape == (2, 3, 32)
    torch.testing.assert_close(encoded[1, 2], encoder(pixels[1, 2][None])[0], atol=1e-5, rtol=1e-4)
    columns = PictureColumns(pictures(SCHEMA.observation), SCHEMA.observation_size)
    assert columns.spans == [(1, 1 + PIXELS)]
    assert columns.others.tolist() == [0, 1 + PIXELS]


def test_pictures_of_a_wrong_shape_are_named() -> None:
    data = {"name": "camera", "size": 12, "unit": "1", "picture": [2, 2, 2]}
    with pytest.raises(ContractError, match=r"\[2, 2, 2\] is 8 values, the field's size is 12"):
        ObservationField.from_dict(data)
    with pytest.raises(ContractError, match="expected \\[height, width, channels\\], found 3"):
        ObservationField.from_dict({**data, "picture": 3})
    field = ObservationField.from_dict({**data, "picture": [2, 2, 3]})
    assert ObservationField.from_dict(field.to_dict()) == field
    assert "picture" not in replace(field, picture=()).to_dict()
    shape = {"observation_size": 300, "action_size": 1, "backbone_options": CONFIG.backbone_options}
    for picture, message in (
        ([0, 7, 10, 3], "7 × 10 with 3 channels found; expected 8 × 8 or more"),
        ([0, 10, 11, 3], "lies outside of the observation"),
        ([0, 10, 10], "expected \\[first, height, width, channels\\]"),
    ):
        with pytest.raises(BundleError, match=message):
            ModelConfig.from_dict({**shape, "pictures": [picture]})
    config = ModelConfig.from_dict({**shape, "pictures": [[0, 10, 10, 3]]})
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert ActionModel(config).observation_norm.mean.shape == (0,)
