"""The tick of N robots over buffers that never move: what a CUDA graph can hold.

Everything but the capture runs on any device, so a CPU runs the same programs, eagerly.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from enum import Enum
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.action_model import ActionModel
from lram_core.backbones import State
from lram_core.backbones.mlstm_block import MLSTMBlock
from lram_core.backbones.xlstm import XLSTM
from lram_core.runtimes.weights import prepared


class Program(Enum):
    """What is advanced in one pass over the weights."""

    TICK = "reward, state, return-to-go"
    LATE = "state, return-to-go"
    REWARD = "reward"


class StaticTick:
    """A model, the states of N robots, and programs over them.

    One copy in, one pass over the weights, one copy out:

    - ``host``: float32 (N, observation_size + 4), pinned where there is a GPU; a row is the
      observation, return-to-go, reward (both scaled), and two flags, 0 or 1: an episode starts;
      the slot takes part. Written by the caller before :meth:`run`.
    - ``bins``: int64 (N, action_size), ``logits``: float32 (N, action_size, bins): results of the
      last tick, valid after :meth:`wait`.

    Args:
        model: copied, not changed.
        slots: N.
        device: where it runs.
        precision: ``fp32``, or ``bf16`` for the large weight matrices; all else is in float32.
        flags: whether the two flags are looked at. Without them every slot takes part, and
            :meth:`reset` starts an episode.
        capture: capture each program as a CUDA graph; on a CPU it must be False.
    """

    def __init__(
        self,
        model: ActionModel,
        slots: int,
        device: torch.device,
        precision: str,
        flags: bool,
        capture: bool,
    ) -> None:
        config = model.config
        size = config.observation_size
        self.slots = slots
        self._device = device
        self._model = prepared(model, precision).to(device).eval()
        pinned = device.type == "cuda"
        self._host = torch.zeros((slots, size + 4), dtype=torch.float32, pin_memory=pinned)
        self._host_bins = torch.zeros(
            (slots, config.action_size), dtype=torch.int64, pin_memory=pinned
        )
        self._host_logits = torch.zeros(
            (slots, config.action_size, config.bins), dtype=torch.float32, pin_memory=pinned
        )
        self.host: npt.NDArray[np.float32] = self._host.numpy()
        self.bins: npt.NDArray[np.int64] = self._host_bins.numpy()
        self.logits: npt.NDArray[np.float32] = self._host_logits.numpy()

        self._inputs = torch.zeros_like(self._host, device=device, pin_memory=False)
        self._active = torch.ones(slots, dtype=torch.bool, device=device) if flags else None
        self.state: State = self._model.init_state(slots, device)
        if device.type == "cuda":
            use_kernels(self._model, slots, self._active)
        self._stream = None
        if device.type == "cuda":
            # It does not wait for the default stream, on which all of the above was queued.
            torch.cuda.synchronize(device)
            self._stream = torch.cuda.Stream(device)
        self._programs: dict[Program, Callable[[], object]] = {
            program: self._captured(program) if capture else partial(self._advance, program)
            for program in Program
        }
        self.reset()

    def run(self, program: Program) -> None:
        """Start a program on what ``host`` holds; on a GPU it returns before the results are in.

        ``host`` must not be written until :meth:`wait` has returned.
        """
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._programs[program]()

    def wait(self) -> None:
        """Wait until the last program is done."""
        if self._stream is not None:
            self._stream.synchronize()

    def reset(self) -> None:
        """Give every slot the state of an episode's start."""
        with torch.cuda.stream(self._stream):
            self.load(self._model.init_state(self.slots, self._device))

    @torch.inference_mode()
    def load(self, state: State) -> None:
        """Overwrite the state, with tensors of the CPU or of this stream."""
        self.wait()
        with torch.cuda.stream(self._stream):
            for name, buffer in self.state.items():
                buffer.copy_(state[name])

    def _advance(self, program: Program) -> None:
        self._inputs.copy_(self._host, non_blocking=True)
        if self._active is not None:
            self._active.copy_(self._inputs[:, -1] > 0)
        logits, state = advanced(
            self._model, program, self._inputs, self.state, flags=self._active is not None
        )
        self._keep(state)
        if logits is not None:
            self._host_bins.copy_(logits.argmax(-1), non_blocking=True)
            self._host_logits.copy_(logits, non_blocking=True)

    def _keep(self, state: State) -> None:
        """Write a new state over the old one, but for the slots that do not take part."""
        changed = [
            (buffer, state[name])
            for name, buffer in self.state.items()
            if state[name].data_ptr() != buffer.data_ptr()  # else a kernel has done it
        ]
        if self._active is not None:
            for buffer, value in changed:
                active = self._active.view(-1, *[1] * (buffer.ndim - 1))
                torch.where(active, value, buffer, out=buffer)
        elif changed:
            # In one kernel, not one for each: a tick is launch-bound.
            torch._foreach_copy_([old for old, _ in changed], [new for _, new in changed])

    def _captured(self, program: Program) -> Callable[[], object]:
        """Capture a program; the state is of no meaning afterwards."""
        assert self._stream is not None, "only a CUDA device captures graphs"
        graph = torch.cuda.CUDAGraph()
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(3):  # libraries and kernels set themselves up: not capturable
                self._advance(program)
            self._stream.synchronize()
            with torch.cuda.graph(graph, stream=self._stream):
                self._advance(program)
        return graph.replay


def advanced(
    model: ActionModel, program: Program, inputs: Tensor, state: State, flags: bool
) -> tuple[Tensor | None, State]:
    """Return what a program makes of inputs and state: logits, if it has any, and the new state.

    Args:
        inputs: rows as in :class:`StaticTick`.
        state: without ``flags`` it may be overwritten: nobody needs the old one.
        flags: whether to heed that episodes start.
    """
    size = model.config.observation_size
    reward = inputs[:, size + 1]
    if program is Program.REWARD:
        return None, model.advance_reward(reward, state, in_place=not flags)
    last = reward if program is Program.TICK else None
    observation, to_go = inputs[:, :size], inputs[:, size]
    if flags:
        return model.tick(observation, to_go, last, inputs[:, size + 2] > 0, state)
    return model.advance(model.tick_tokens(observation, to_go, last), state, in_place=True)


def use_kernels(model: ActionModel, slots: int, active: Tensor | None) -> None:
    """Let fused kernels run a tick of an xLSTM, its memories updated in place, where Triton is.

    Args:
        model: changed.
        slots: N.
        active: (N,) bool, read at every tick: slots whose memory is to be updated; None for all.
    """
    if not isinstance(model.backbone, XLSTM) or importlib.util.find_spec("triton") is None:
        return
    from lram_core.kernels.action_model import FusedHead, FusedNorm, FusedTokens
    from lram_core.kernels.mlstm_block import FusedBlock

    blocks = model.backbone.blocks
    for layer, block in enumerate(blocks):
        if isinstance(block, MLSTMBlock):
            blocks[layer] = FusedBlock(block, active)
    model.backbone.post_blocks_norm = FusedNorm(model.backbone.post_blocks_norm)  # type: ignore[assignment]
    model.head = FusedHead(model.head)  # type: ignore[assignment]
    if FusedTokens.takes(model, slots):
        model.tick_tokens = FusedTokens(model)  # type: ignore[method-assign]
