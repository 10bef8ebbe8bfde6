"""The fused mLSTM kernel: the same numbers as the reference, by Triton's interpreter on a CPU.

The interpreter is chosen in ``conftest.py``, where there is no GPU.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_launch import compiled_kernels

from lram_core.backbones.mlstm_block import MLSTMBlock
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
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


# One robot's rows go through a kernel of ours, those of more through PyTorch's products.
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("episodes", [None, [[0, 0, 0]], [[0, 1, 1], [0, 0, 0], [1, 1, 2]]])
def test_a_whole_block_equals_the_reference(
    episodes: list[list[int]] | None, heads: int, dtype: torch.dtype
) -> None:
    batch = 1 if episodes is None else len(episodes)
    block: MLSTMBlock = XLSTM(XLSTMConfig(36, 1, num_heads=heads)).blocks[0].to(DEVICE)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    fused = copy.deepcopy(block)
    for layer in (block.xlstm, fused.xlstm):
        for linear in (layer.proj_up, layer.proj_down):
            linear.weight.data = linear.weight.data.to(dtype)
            if layer is block.xlstm:  # what the rounded weights come to
                linear.weight.data = linear.weight.data.float()
    close = CLOSE if dtype == torch.float32 else 0.05
    shapes = block.state_shapes.items()
    state = {name: torch.randn(batch, *shape, device=DEVICE) for name, shape in shapes}
    active = torch.arange(batch, device=DEVICE) != 1
    for tokens in (1, 2, 3):
        x = torch.randn(batch, tokens, 36, device=DEVICE)
        segment = None if episodes is None else torch.tensor(episodes, device=DEVICE)[:, :tokens]
        flags = None if segment is None else active
        with torch.inference_mode():
            want, expected = block(x, state, segment)
            copied = {name: value.clone() for name, value in state.items()}
            got, found = FusedBlock(fused, flags)(x, copied, segment)
        torch.testing.assert_close(got[active], want[active], atol=close, rtol=close)
        for name in expected:
            assert found[name] is copied[name]  # in place
            torch.testing.assert_close(
                found[name][active], expected[name][active], atol=close, rtol=close
            )
            assert torch.equal(found[name][~active], state[name][~active])


def test_runtime_and_batch_use_it_in_place() -> None:
    """As on a GPU, but that each operation is launched by itself."""
    model = small_model(d_model=16)
    device = torch.device(DEVICE)
    runtime = CudaGraphRuntime.uncaptured(model, RuntimeOptions(device, "fp32"))
    if device.type == "cpu":  # on a GPU they have been put there
        use_kernels(runtime._tick._model, 1, None)
    walk = RandomWalk(model).take(4)
    assert compare(TorchRuntime(model), runtime, walk).logit_error < CLOSE

    plain = BatchPolicy(model, small_contract(), 2)
    fused = BatchPolicy(model, small_contract(), 2, device, "torch")
    if device.type == "cpu":
        use_kernels(fused._tick._model, 2, fused._tick._active)
    for tick, active in enumerate([[True, True], [True, False], [True, True]]):
        observations = walk.observations[[tick, tick + 1]]
        for policy in (plain, fused):
            if tick == 2:
                policy.reset(0)
            policy.act(observations, [0.5, 1.0], np.array(active))
        torch.testing.assert_close(fused._tick.logits, plain._tick.logits, atol=1e-4, rtol=0)


LAUNCH = """
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.kernels import early
from lram_core.kernels.mlstm_block import FusedBlock

early.options = lambda device: {"early": True, "launch_pdl": True}  # as there

def launch(width, heads, batch, tokens, dtype, flags):
    block = XLSTM(XLSTMConfig(width, 1, heads)).blocks[0]
    for linear in (block.xlstm.proj_up, block.xlstm.proj_down):
        linear.to(dtype)
    state = {name: torch.zeros(batch, *shape) for name, shape in block.state_shapes.items()}
    active = torch.ones(batch, dtype=torch.bool) if flags else None
    segment = torch.zeros(batch, tokens, dtype=torch.int64) if flags else None
    with torch.inference_mode():
        FusedBlock(block, active)(torch.zeros(batch, tokens, width), state, segment)

launch(1280, 4, 1, 3, torch.bfloat16, False)
launch(512, 8, 1, 3, torch.float32, False)
launch(512, 4, 3, 3, torch.bfloat16, True)
"""


def test_all_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    block = ["_mix", "_advance", "_finish"]
    few = ["_product", *block, "_product"]
    # Of many rows cuBLAS makes the products.
    assert compiled_kernels(LAUNCH, tmp_path) == [*few, *few, "_norm", *block]
