"""The cuda-graph runtime, all but the capture itself: its programs and buffers on a CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import compare
from lram_core.errors import RuntimeUnavailable
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.cuda_graph import CudaGraphRuntime
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.static_tick import Program, advanced
from lram_core.runtimes.weights import BFloat16Linear, round_weights

OPTIONS = {
    "xlstm": {"d_model": 32, "num_layers": 2, "num_heads": 2, "slstm_at": [1]},
    "mamba": {"d_model": 32, "num_layers": 2},
    "transformer": {"d_model": 32, "num_layers": 2, "context": 4},
}


def model(backbone: str) -> ActionModel:
    torch.manual_seed(0)
    made = ActionModel(ModelConfig(5, 2, backbone=backbone, backbone_options=OPTIONS[backbone]))
    with torch.no_grad():
        made.head.weight.mul_(20)
    return made.eval()


@pytest.mark.parametrize("backbone", OPTIONS)
def test_programs_over_buffers_equal_the_reference(backbone: str) -> None:
    made = model(backbone)
    reference = TorchRuntime(made)
    exact = CudaGraphRuntime.uncaptured(made, RuntimeOptions())
    assert exact.precision == "fp32"
    parity = compare(reference, exact, RandomWalk(made).take(60))
    assert parity.agreement == 1.0
    assert parity.logit_error < 1e-5
    # Rounded weights come close; a policy's bins are what decides, see docs/benchmarks.md.
    rounded = CudaGraphRuntime.uncaptured(made, RuntimeOptions(precision="bf16"))
    assert compare(reference, rounded, RandomWalk(made).take(60)).logit_error < 0.05


def test_buffers_never_move() -> None:
    made = model("xlstm")
    runtime = CudaGraphRuntime.uncaptured(made, RuntimeOptions(precision="fp32"))

    def addresses() -> list[int]:
        tick = runtime._tick
        arrays = (tick.host, tick.bins, tick.logits, runtime.logits)
        tensors = (tick._inputs, *tick.state.values())
        return [a.ctypes.data for a in arrays] + [t.data_ptr() for t in tensors]

    before = addresses()
    runtime.tokenise(np.ones(5, np.float32), 1.0, None)
    runtime.step()
    runtime.advance_reward(0.5)
    runtime.tokenise(np.ones(5, np.float32), 1.0, None)
    runtime.step()
    runtime.load_state(runtime.state())
    runtime.reset()
    runtime.tokenise(np.ones(5, np.float32), 1.0, 0.5)
    runtime.step()
    assert addresses() == before


@pytest.mark.parametrize("flags", [False, True])
@pytest.mark.parametrize("backbone", OPTIONS)
@pytest.mark.parametrize("program", Program)
def test_programs_could_be_captured(backbone: str, program: Program, flags: bool) -> None:
    """Nothing looks at a value to decide what to do, and no tensor is made on another device."""
    with FakeTensorMode():  # values are not known
        made = ActionModel(ModelConfig(5, 2, backbone=backbone, backbone_options=OPTIONS[backbone]))
        round_weights(made)
        with torch.inference_mode():
            advanced(made, program, torch.zeros(3, 9), made.init_state(3), flags)
    made = model(backbone)
    # What does not say where it wants to be would be on "meta", and fail beside the rest.
    with torch.inference_mode(), torch.device("meta"):
        inputs, state = torch.zeros(3, 9, device="cpu"), made.init_state(3, "cpu")
        logits, state = advanced(made, program, inputs, state, flags)
    found = [*state.values()] + ([] if logits is None else [logits])
    assert {tensor.device.type for tensor in found} == {"cpu"}


def test_weights_are_rounded_and_the_recurrence_is_not() -> None:
    made = model("xlstm")
    round_weights(made)
    assert isinstance(made.head, BFloat16Linear)
    rounded = {name for name, p in made.named_parameters() if p.dtype == torch.bfloat16}
    assert "backbone.blocks.0.xlstm.proj_up.weight" in rounded
    assert not [name for name in rounded if "gate" in name or "norm" in name or "conv" in name]
    assert {value.dtype for value in made.init_state(1).values()} == {torch.float32}
    x = torch.randn(2, 32)
    assert made.head(x).dtype == torch.float32
    assert model("xlstm").head.weight.dtype == torch.float32


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(RuntimeUnavailable, match="cuda-graph: needs a CUDA device; none found"):
        make_runtime(model("xlstm"), "cuda-graph", RuntimeOptions())
    with pytest.raises(RuntimeUnavailable, match="none found"):
        CudaGraphRuntime(model("xlstm"), RuntimeOptions())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures on a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("backbone", OPTIONS)
def test_a_captured_graph_equals_the_reference(backbone: str, precision: str) -> None:
    options = RuntimeOptions(torch.device("cuda"), precision)
    made = model(backbone)
    graph = CudaGraphRuntime(made, options)
    parity = compare(TorchRuntime(made, RuntimeOptions()), graph, RandomWalk(made).take(60))
    assert parity.logit_error < (1e-4 if precision == "fp32" else 0.05)
