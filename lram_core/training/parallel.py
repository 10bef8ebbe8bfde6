"""Several processes that train one model, started by ``torchrun``; or one that was not.

Each computes its parts of every batch. With DDP every process has the whole model and the
gradients are averaged; with FSDP (``fully_shard``) weights, gradients, running average and moments
are spread over the processes.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from lram_core.backbones import State
from lram_core.compiling import expect_compiler
from lram_core.errors import CommandError, one_line
from lram_core.joint_model import JointModel
from lram_core.training.config import TrainConfig

WAIT = timedelta(hours=2)
"""How long a process waits for the others: the first one rolls out and writes alone."""


_LOST = ("gloo/transport", "NCCL", "Connection closed by peer", "Connection reset by peer")
"""What the libraries' errors have in them when another process is not there any more."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the training.

    Attributes:
        rank: its number, from 0. count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            dist.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[bool]:
        """Yield whether this process is the one to do what follows; all others wait for it.

        Where it fails, it has the error, and the others end without a word.
        """
        failed = 1.0
        try:
            yield self.main
            failed = 0.0
        finally:
            if self.agree(failed) and not self.main:
                sys.exit(2)  # as the command does after a message

    def agree(self, value: float) -> float:
        """Return the first process's value; clocks differ."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=_device())
        dist.broadcast(told, 0)
        return float(told)

    def mean(self, values: list[Tensor]) -> list[Tensor]:
        """Return the processes' means of scalars."""
        if self.count == 1 or not values:
            return values
        joined = torch.stack(values)
        dist.all_reduce(joined)
        return list(joined / self.count)

    def gather_states(self, states: list[State]) -> list[State]:
        """Return the recurrent states of all processes, in the order of their ranks."""
        if self.count == 1:
            return states
        found: list[list[State]] = [[{} for _ in states] for _ in range(self.count)]
        for part, state in enumerate(states):
            for name, value in state.items():
                all_of_them = [torch.empty_like(value) for _ in range(self.count)]
                dist.all_gather(all_of_them, value.contiguous())
                for rank, other in enumerate(all_of_them):
                    found[rank][part][name] = other
        return [state for of_rank in found for state in of_rank]


@contextmanager
def started(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that ``torchrun`` has started, and yield this one's device.

    Args:
        device: of the settings; of several processes on GPUs each takes its own.

    Raises:
        CommandError: another process has ended, in place of the error of the network library.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    ours = not dist.is_initialized()
    if ours:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=WAIT)
    try:
        yield Processes(dist.get_rank(), count), device
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _LOST):
            raise
        raise CommandError(
            f"process {os.environ.get('RANK', '?')} of {count} has lost another one, which ended "
            "or was killed; the same command goes on from the last checkpoint "
            f"({one_line(error, 160)})"
        ) from None
    finally:
        if ours:
            dist.destroy_process_group()


def check_parallel(config: TrainConfig, processes: Processes) -> None:
    """Raises CommandError where the settings ask for what one process cannot have."""
    if config.parallel == "fsdp" and processes.count == 1:
        raise CommandError(
            "parallel 'fsdp' spreads a model over processes and this is one alone; start it with "
            "torchrun --nproc-per-node N -m lram_core.cli train …"
        )


def spread(model: JointModel, config: TrainConfig, processes: Processes) -> None:
    """With FSDP, keep a share of the weights in each process; they are equal in all before."""
    if processes.count == 1 or config.parallel != "fsdp":
        return
    from torch.distributed.fsdp import fully_shard

    # Nothing is written into what a block returns.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for block in blocks_of(model.first.backbone):
        fully_shard(block)
    # After a validation, which has no backward pass, the outermost weights are to be shares again.
    fully_shard(model, reshard_after_forward=True)


def network_of(
    model: JointModel, config: TrainConfig, processes: Processes, device: torch.device
) -> nn.Module:
    """Return what a training step calls: the model, whose gradients are averaged where needed."""
    if config.compile:
        compile_blocks(model.first.backbone)
    if processes.count > 1 and config.parallel == "ddp":
        from torch.nn.parallel import DistributedDataParallel

        where = [device] if device.type == "cuda" else None
        with warnings.catch_warnings():  # the option has a new name, unknown to older releases
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(model, device_ids=where, broadcast_buffers=False)
    return model


def compile_blocks(backbone: nn.Module) -> None:
    """Compile a backbone block by block, in place.

    Blocks of one kind are one program, the last one a second: twenty of them take no longer to
    compile than two.
    """
    expect_compiler()
    for block in blocks_of(backbone):
        block.compile()


def blocks_of(backbone: nn.Module) -> list[nn.Module]:
    """Return the blocks that a backbone is a stack of."""
    return [
        block for part in backbone.children() if isinstance(part, nn.ModuleList) for block in part
    ]


def gradients_of(network: nn.Module, model: JointModel, last: bool) -> AbstractContextManager[Any]:
    """Return the context of one part's backward pass; the last part's averages the gradients."""
    together: Any = model
    if hasattr(together, "set_requires_gradient_sync"):  # FSDP's
        together.set_requires_gradient_sync(last)
    parts: Any = network
    if not last and hasattr(parts, "no_sync"):  # DDP's
        context: AbstractContextManager[Any] = parts.no_sync()
        return context
    return nullcontext()


def whole(value: Tensor) -> Tensor:
    """Return the whole of a tensor that may be spread over the processes; all must call it."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value


def placed_like(value: Tensor, other: Tensor) -> Tensor:
    """Return ``value`` on the device of ``other``, spread over the processes as that is."""
    value = value.to(device=other.device, dtype=other.dtype)
    if not hasattr(other, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value, other.device_mesh, other.placements)  # type: ignore[attr-defined]


def _device() -> torch.device:
    on_gpu = dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")
