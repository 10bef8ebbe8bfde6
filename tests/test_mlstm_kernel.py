"""The fused mLSTM kernel: the same numbers as the reference, by Triton's interpreter on a CPU.

The interpreter is chosen in ``conftest.py``, where there is no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lram_core.backbones.mlstm_block import MLSTMBlock
from lram_core.batch_policy import BatchPolicy
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import compare
from lram_core.kernels.mlstm import MAX_TOKENS, FusedMLSTM
from lram_core.kernels.mlstm_block import FusedBlock
from lram_core.mlstm import CellState, mlstm_chunk
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.cuda_graph import CudaGraphRuntime
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.static_tick import use_kernels
from lram_core.testing import small_contract, small_model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, HEADS = 3, 2
# A GPU sums in another order, and its exponentials are approximations.
CLOSE = 1e-5 if DEVICE == "cpu" else 1e-4


def inputs(tokens: int, size: int) -> tuple[torch.Tensor, ...]:
    """q, k, v (strided as the model's) and the two gates."""
    generator = torch.Generator().manual_seed(tokens)
    qkv = torch.randn(3, BATCH, tokens, HEADS * size, generator=generator)
    gates = torch.randn(BATCH, tokens, 2 * HEADS, generator=generator).transpose(1, 2)
    i, f = gates.chunk(2, dim=1)
    heads = [x.unflatten(-1, (HEADS, size)).transpose(1, 2) for x in qkv]
    return tuple(x.to(DEVICE) for x in (*heads, i, 3 * f + 2))


def empty(size: int) -> CellState:
    return CellState(
        torch.zeros(BATCH, HEADS, size, size, device=DEVICE),
        torch.zeros(BATCH, HEADS, size, device=DEVICE),
        torch.zeros(BATCH, HEADS, device=DEVICE),
    )


# 40 is no power of two, as the head sizes of a model need not be.
@pytest.mark.parametrize(("tokens", "size"), [(1, 32), (2, 64), (3, 40), (MAX_TOKENS, 32)])
def test_ticks_equal_the_reference(tokens: int, size: int) -> None:
    expected = empty(size)
    found = CellState(*(x.clone() for x in expected))
    memory = found.C
    kernel = FusedMLSTM()
    for _ in range(2):
        args = inputs(tokens, size)
        want, expected = mlstm_chunk(*args, expected)
        got, found = kernel(*args, found)
        torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=CLOSE, rtol=CLOSE)
    assert found.C is memory  # in place


@pytest.mark.parametrize("starts", [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
def test_episodes_start_within_a_tick(starts: list[int]) -> None:
    _, state = mlstm_chunk(*inputs(4, 32), empty(32))
    segment = torch.tensor([[0, 0, 0], starts, [0, 0, 0]], device=DEVICE).cumsum(-1)
    args = inputs(3, 32)
    want, expected = mlstm_chunk(*args, state, segment)
    got, found = FusedMLSTM()(*args, CellState(*(x.clone() for x in state)), segment)
    torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=CLOSE, rtol=CLOSE)


def test_inputs_of_any_layout() -> None:
    q, k, v, i, f = inputs(3, 32)
    want, _ = mlstm_chunk(q, k, v, i, f, empty(32))
    q, k, v = (x.transpose(-1, -2).contiguous().transpose(-1, -2) for x in (q, k, v))
    got, _ = FusedMLSTM()(q, k, v, i.contiguous(), f, empty(32))
    torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)


def test_memory_of_an_inactive_slot_stays() -> None:
    _, state = mlstm_chunk(*inputs(4, 32), empty(32))
    args = inputs(3, 32)
    want, expected = mlstm_chunk(*args, state)
    found = CellState(*(x.clone() for x in state))
    active = torch.tensor([True, False, True], device=DEVICE)
    got, after = FusedMLSTM(active)(*args, found)
    torch.testing.assert_close(after.C[active], expected.C[active], atol=CLOSE, rtol=CLOSE)
    torch.testing.assert_close(got[active], want[active], atol=CLOSE, rtol=CLOSE)
    assert torch.equal(after.C[1], state.C[1])


@pytest.mark.parametrize("episodes", [None, [[0, 1, 1], [0, 0, 0]]])
def test_a_whole_block_equals_the_reference(episodes: list[list[int]] | None) -> None:
    model = small_model(d_model=48).to(DEVICE)
    block: MLSTMBlock = model.backbone.blocks[0]
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    shapes = block.state_shapes.items()
    state = {name: torch.randn(2, *shape, device=DEVICE) for name, shape in shapes}
    for tokens in (1, 2, 3):
        x = torch.randn(2, tokens, 48, device=DEVICE)
        segment = None if episodes is None else torch.tensor(episodes, device=DEVICE)[:, :tokens]
        with torch.inference_mode():
            want, expected = block(x, state, segment)
            copied = {name: value.clone() for name, value in state.items()}
            got, found = FusedBlock(block)(x, copied, segment)
        torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=CLOSE, rtol=CLOSE)


def test_runtime_and_batch_use_it_in_place() -> None:
    """As on a GPU, but that each operation is launched by itself."""
    model = small_model(d_model=16)
    device = torch.device(DEVICE)
    runtime = CudaGraphRuntime.uncaptured(model, RuntimeOptions(device, "fp32"))
    use_kernels(runtime._tick._model, 1, None)
    walk = RandomWalk(model).take(4)
    assert compare(TorchRuntime(model), runtime, walk).logit_error < CLOSE

    plain = BatchPolicy(model, small_contract(), 2)
    fused = BatchPolicy(model, small_contract(), 2, device, "torch")
    use_kernels(fused._tick._model, 2, fused._tick._active)
    for tick, active in enumerate([[True, True], [True, False], [True, True]]):
        observations = walk.observations[[tick, tick + 1]]
        for policy in (plain, fused):
            if tick == 2:
                policy.reset(0)
            policy.act(observations, [0.5, 1.0], np.array(active))
        torch.testing.assert_close(fused._tick.logits, plain._tick.logits, atol=1e-4, rtol=0)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from lram_core.kernels.mlstm import _advance
from lram_core.kernels.mlstm_block import _finish, _gates, _mix, _norm

fixed = {"heads": 8, "size": 128, "inner": 1024, "width": 512, "tokens": 3, "padded": 512}
fixed |= {"rows": 32, "columns": 16, "blocks": 32, "side": 4, "taps": 4, "channels": 256}
fixed |= {"scale": 0.1, "eps": 1e-6}
kinds = {"segment_at": "*i64", "active_at": "*i1", "both_at": "*bf16"}
single = {"segment_at": None, "active_at": None}  # one robot, as against a batch
made_of = [(kernel, fixed) for kernel in (_advance, _norm, _mix, _gates, _finish)]
made_of += [(kernel, fixed | single) for kernel in (_advance, _mix)]
for kernel, known in made_of:
    constants = {name: value for name, value in known.items() if name in kernel.arg_names}
    if "tokens" in constants and "padded" in constants:
        constants["padded"] = 4
    signature = {
        name: "constexpr" if name in known else kinds.get(name, "*fp32" if "_at" in name else "i32")
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, signature, constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert f".entry {kernel.__name__}" in made.asm["ptx"]
    assert made.asm["cubin"]
print("compiled")
"""


def test_all_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "compiled\n"
