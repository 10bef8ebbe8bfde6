"""Training in two processes, as torchrun starts them, equals training in one."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_rig import TINY

from lram_core.bundle import load_joint_bundle
from lram_core.errors import CommandError
from lram_core.testing import small_dataset
from lram_core.training.parallel import started
from lram_core.training.train import train

CONFIG = replace(
    TINY,
    backbone_options={"d_model": 16, "num_layers": 2, "num_heads": 2},
    steps=8,
    evaluate_every=4,
    checkpoint_every=3,
    tracker="none",
    optimizer="adamw",
    bf16_cpu=False,  # sums in another order are the same up to rounding alone
)
WORKER = """
import pickle, sys
from dataclasses import replace
from pathlib import Path

import torch.distributed
import lram_core.training.train as module

# One group for all the trainings here.
torch.distributed.init_process_group("gloo")
folder, config = Path(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2]))

class Cut(Exception):
    pass

def stop(config, step, done):
    if step == 5:
        raise Cut
    return real(config, step, done)

real = module.learning_rate
for name in ("ddp", "fsdp"):
    settings = replace(config, parallel=name)
    module.train([folder / "data"], folder / name, folder / f"run_{name}", settings)
    module.learning_rate = stop
    try:
        module.train([folder / "data"], folder / f"{name}_cut", folder / f"cut_{name}", settings)
    except Cut:
        module.learning_rate = real
    module.train([folder / "data"], folder / f"{name}_cut", folder / f"cut_{name}", settings)

# What the first process finds alone ends the others as well, without a word.
try:
    module.train([folder / "data"], folder / "ddp", folder / "run_ddp", replace(config, lr=1.0))
except (module.CommandError, SystemExit) as error:
    rank = torch.distributed.get_rank()
    (folder / f"refused_{rank}").write_text(f"{type(error).__name__} {error}")
torch.distributed.destroy_process_group()
"""


def losses(run: Path) -> list[float]:
    with (run / "metrics.csv").open() as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def test_two_processes_train_as_one_with_their_batches_together(tmp_path: Path) -> None:
    import pickle

    small_dataset(tmp_path / "data")
    (tmp_path / "worker.py").write_text(WORKER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [str(tmp_path / "worker.py"), str(tmp_path), pickle.dumps(CONFIG).hex()]
    done = subprocess.run([*launch, *words], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    both = replace(CONFIG, batch=2 * CONFIG.batch)
    train([tmp_path / "data"], tmp_path / "one", tmp_path / "run_one", both)
    one = load_joint_bundle(tmp_path / "one")[0].weights()
    for name in ("ddp", "fsdp"):
        assert losses(tmp_path / f"run_{name}") == pytest.approx(
            losses(tmp_path / "run_one"), rel=1e-4
        )
        two, resumed = (
            load_joint_bundle(tmp_path / folder)[0].weights() for folder in (name, f"{name}_cut")
        )
        for key, value in one.items():
            torch.testing.assert_close(two[key], value, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(resumed[key], two[key], atol=0, rtol=0)
    assert "holds a run with other settings: lr" in (tmp_path / "refused_0").read_text()
    assert (tmp_path / "refused_1").read_text() == "SystemExit 2"
    assert "Warning" not in done.stderr


def test_a_process_that_is_lost_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    for told, kind, message in (
        (
            "[gloo/transport/tcp/pair.cc:553] closed",
            CommandError,
            r"process 0 of 2 has lost",
        ),
        ("shapes cannot be multiplied", RuntimeError, "shapes"),
    ):
        with pytest.raises(kind, match=message), started(torch.device("cpu")):
            raise RuntimeError(told)


def test_a_model_is_not_spread_over_one_process(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    with pytest.raises(CommandError, match="start it with torchrun --nproc-per-node N -m lram_c"):
        train([tmp_path / "data"], tmp_path / "b", tmp_path / "r", replace(CONFIG, parallel="fsdp"))
    assert not (tmp_path / "r").exists()
