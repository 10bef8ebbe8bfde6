"""Checkpoints of a training: everything that changes, in one safetensors file.

The file's header carries, as JSON, what is no tensor, and a checksum of the tensors. A file is
written under another name, reaches the disk, and only then takes its own; the one before it is
kept, and taken where the newest is damaged.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lram_core.backbones import State
from lram_core.data.files import atomic_path
from lram_core.data.stream import WindowStream
from lram_core.errors import CommandError, DataError, one_line
from lram_core.joint_model import JointModel
from lram_core.training.disk import going_on, is_full
from lram_core.training.parallel import Processes, placed_like, whole

CHECKPOINTS, OLD_CHECKPOINT = "checkpoints", "checkpoint.pt"
KEPT = 2
FORMAT_VERSION = 1
_DAMAGED = (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError)


@dataclass
class Trainee:
    """Everything that changes while training, and is needed to continue.

    Attributes:
        model, average: the weights and their running average.
        optimizers: their optimisers.
        streams: of the windows, one an embodiment.
        states: recurrent states carried from window to window, one for each part of a batch that
            this process computes.
        step: optimiser steps done. seconds: time they took.
        losses: of the steps since the last row of the metrics.
        best: success rate of the best rollouts, and their step.
    """

    model: JointModel
    average: JointModel
    optimizers: list[torch.optim.Optimizer]
    streams: list[WindowStream]
    states: list[State]
    step: int = 0
    seconds: float = 0.0
    losses: list[Tensor] = field(default_factory=list)
    best: tuple[float, int] | None = None

    def save(self, run: Path, processes: Processes) -> None:
        """Write a checkpoint, whole or not at all; the one before it is kept, older ones go.

        All processes call it; the first writes.

        Raises:
            DataError: the disk is full. The checkpoints before are as they were.
        """
        self.losses = processes.mean(self.losses)
        tensors = dict(self._tensors(processes))
        if not processes.main:
            return
        file = run / CHECKPOINTS / f"step-{self.step:09d}.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        header = {
            "format_version": FORMAT_VERSION,
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "parts": processes.count * len(self.states),
            "streams": [stream.position() for stream in self.streams],
            "sha256": _digest(tensors),
        }
        try:
            write_durably(
                file, lambda path: save_file(tensors, path, {"checkpoint": json.dumps(header)})
            )
        except (SafetensorError, OSError) as error:
            if not is_full(error):
                raise
            size = sum(t.numel() * t.element_size() for t in tensors.values())
            raise DataError(
                f"the disk is full, no room for a checkpoint of {size / 1e6:.1f} MB at step "
                f"{self.step}; {going_on(checkpoints(run))}"
            ) from None
        file.chmod(0o644)  # the library keeps them from all but the owner
        for old in checkpoints(run)[:-KEPT]:
            old.unlink(missing_ok=True)

    def resume(
        self, run: Path, processes: Processes, say: Callable[[str], None] = lambda text: None
    ) -> None:
        """Continue from the newest readable checkpoint of a run, if it has any.

        Args:
            run: the run folder.
            processes: of this training; the checkpoint may be of another number of them.
            say: is told of damaged checkpoints.

        Raises:
            DataError: there are checkpoints, and none of them is readable.
            CommandError: it is of another number of processes.
        """
        if processes.main:  # what a run that was killed had begun to write
            for left in (run / CHECKPOINTS).glob(".step-*.tmp"):
                left.unlink(missing_ok=True)
        damaged = []
        for file in reversed(checkpoints(run)):
            try:
                header, tensors = read_checkpoint(file)
                self._load(header, tensors, processes)
            except _DAMAGED as error:
                damaged.append(f"{file}: damaged checkpoint ({one_line(error, 200)})")
                continue
            for text in damaged:
                say(f"{text}; going on from the one before it, step {self.step}")
            return
        if damaged:
            raise DataError(f"{'; '.join(damaged)}; there is no other, remove it to begin anew")
        if (run / OLD_CHECKPOINT).exists():
            self._load_old(run / OLD_CHECKPOINT)

    def _tensors(self, processes: Processes) -> Iterator[tuple[str, Tensor]]:
        """All tensors by name, on the CPU; parts of other processes are collected."""

        def kept(value: Tensor) -> Tensor:
            return whole(value).detach().cpu().contiguous()

        for kind, model in (("model", self.model), ("average", self.average)):
            for name, value in model.weights().items():
                yield f"{kind}/{name}", kept(value)
        for number, optimizer in enumerate(self.optimizers):
            for index, values in optimizer.state_dict()["state"].items():
                for name, value in values.items():
                    yield f"optimizer/{number}/{index}/{name}", kept(value)
        for part, state in enumerate(processes.gather_states(self.states)):
            for name, value in state.items():
                yield f"state/{part}/{name}", kept(value)
        if self.losses:
            yield "losses", torch.stack(self.losses).cpu()
        yield "rng/cpu", torch.get_rng_state()
        if torch.cuda.is_available():
            yield "rng/cuda", torch.cuda.get_rng_state()

    def _load(
        self, header: dict[str, Any], tensors: dict[str, Tensor], processes: Processes
    ) -> None:
        found: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            found.setdefault(kind, {})[rest] = value
        parts = processes.count * len(self.states)
        if header["parts"] != parts:
            raise CommandError(
                f"the checkpoint's batches have {header['parts']} parts (processes × accumulate), "
                f"this run's have {parts}; start as many processes as before"
            )
        states: list[State] = [{} for _ in range(parts)]
        for name, value in found["state"].items():
            part, _, key = name.partition("/")
            states[int(part)][key] = value
        first = processes.rank * len(self.states)
        self.states = [
            {name: state[name].to(value.device) for name, value in old.items()}
            for old, state in zip(self.states, states[first:], strict=False)
        ]
        for stream, position in zip(self.streams, header["streams"], strict=True):
            stream.seek(position)
        _load_weights(self.model, found["model"])
        _load_weights(self.average, found["average"])
        for number, optimizer in enumerate(self.optimizers):
            _load_optimizer(optimizer, found.get("optimizer", {}), f"{number}/")
        where = next(self.model.parameters()).device
        self.losses = list(found["losses"][""].to(where)) if "losses" in found else []
        torch.set_rng_state(found["rng"]["cpu"])
        if "cuda" in found["rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(found["rng"]["cuda"])
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
        self.best = (header["best"][0], header["best"][1]) if header["best"] else None

    def _load_old(self, file: Path) -> None:
        """Continue from a checkpoint of the releases that wrote them as ``checkpoint.pt``."""
        try:
            saved = torch.load(file, map_location="cpu", weights_only=True)
            _load_weights(self.model, saved["model"])
            _load_weights(self.average, saved["average"])
            for optimizer, values in zip(self.optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(values)
            (state,) = self.states
            self.states = [{n: saved["state"][n].to(v.device) for n, v in state.items()}]
            self.step, self.seconds = saved["step"], saved["seconds"]
        except (*_DAMAGED, pickle.UnpicklingError) as error:
            raise DataError(
                f"{file}: unreadable checkpoint ({one_line(error, 200)}); remove it"
            ) from None
        for stream in self.streams:
            for _ in range(self.step):
                next(stream)


def checkpoints(run: Path) -> list[Path]:
    """Return the checkpoint files of a run folder, oldest first."""
    return sorted((run / CHECKPOINTS).glob("step-*.safetensors"))


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return header and tensors, checked.

    Raises:
        SafetensorError, OSError, ValueError, KeyError, TypeError: it is damaged.
    """
    with safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()["checkpoint"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    if header["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"format_version {header['format_version']}, this release reads {FORMAT_VERSION}"
        )
    if _digest(tensors) != header["sha256"]:
        raise ValueError("the checksum of its tensors is not the recorded one")
    return header, tensors


def write_durably(file: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` make a file that is whole and on the disk before it takes its name."""
    with atomic_path(file) as temporary:
        write(temporary)
        _to_disk(temporary)
    _to_disk(file.parent)


def _to_disk(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _load_weights(model: JointModel, weights: dict[str, Tensor]) -> None:
    ours = model.weights()
    model.load_weights({name: placed_like(weights[name], value) for name, value in ours.items()})


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Tensor], mark: str) -> None:
    """Take the moments of an optimiser; its settings are those of this run."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in saved.items():
        if name.startswith(mark):
            index, _, key = name.removeprefix(mark).partition("/")
            parameter = parameters[int(index)]
            same = value.shape == parameter.shape
            state.setdefault(int(index), {})[key] = placed_like(value, parameter) if same else value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
