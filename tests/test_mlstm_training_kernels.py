"""The kernels around an mLSTM's memory, for many tokens: values and gradients of the reference.

By Triton's interpreter on a CPU, chosen in ``conftest.py``, where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from gpu_launch import compiled_kernels
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lram_core import accelerators
from lram_core.backbones import mlstm_block
from lram_core.backbones.mlstm_block import MLSTMLayer
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.compiling import expect_compiler
from lram_core.kernels import mlstm_inputs as inputs_module
from lram_core.kernels import mlstm_output as output_module
from lram_core.kernels.mlstm_inputs import Inputs, mlstm_inputs
from lram_core.kernels.mlstm_output import mlstm_output

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, HEADS, WIDTH, INNER = 3, 2, 40, 80


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles so small that every loop of the kernels turns several times."""
    tiles = inputs_module.Tiles(rows=16, channels=32, warps=4, span=64, programs=1)
    for name in ("FORWARD", "CONV_GRADIENT", "INPUTS_GRADIENT", "WEIGHTS_GRADIENT"):
        monkeypatch.setattr(inputs_module, name, tiles)


def config(layers: int = 1) -> XLSTMConfig:
    return XLSTMConfig(d_model=WIDTH, num_layers=layers, num_heads=HEADS, chunk_size=8)


def shaken(module: torch.nn.Module, by: float = 0.3) -> None:
    """Move every weight away from where it starts, which is 0 for many."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(by * torch.randn_like(parameter))


@pytest.fixture
def layer() -> MLSTMLayer:
    made = MLSTMLayer(config())
    shaken(made)
    return made.to(DEVICE)


def segment_of(length: int) -> Tensor:
    """Of sequences without an episode start, with one, and with some one after the other."""
    starts = torch.zeros(BATCH, length, dtype=torch.bool)
    starts[1, length // 2] = starts[2, 0] = starts[2, 2] = starts[2, -1] = True
    return torch.cumsum(starts.long(), -1).to(DEVICE)


def fused_inputs(
    layer: MLSTMLayer, u: Tensor, past: Tensor | None, segment: Tensor | None
) -> Inputs:
    cell = layer.mlstm_cell
    found = mlstm_inputs(
        *(u, past, segment, layer.conv1d.conv.weight, layer.conv1d.conv.bias),
        *(layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight),
        *cell.gate_map(),
        HEADS,
    )
    length = u.shape[1]
    for x in (found.q, found.k, found.v):
        assert x.shape[2] % 8 == 0
        assert not x[:, :, length:].any()
    q, k, v = (x[:, :, :length] for x in (found.q, found.k, found.v))
    return found._replace(q=q, k=k, v=v)


def plain_inputs(
    layer: MLSTMLayer, u: Tensor, past: Tensor | None, segment: Tensor | None
) -> list[Tensor]:
    x, _ = u.chunk(2, dim=-1)
    if past is None:
        past = u.new_zeros(BATCH, 3, INNER)
    conv = F.silu(layer.conv1d(x, past, segment)[0])
    q, k, v = layer.q_proj(conv), layer.k_proj(conv), layer.v_proj(x)
    weight, bias = layer.mlstm_cell.gate_map()
    gates = torch.cat(layer.mlstm_cell.gates((q, k, v), weight.chunk(3, dim=-1), bias), dim=1)
    return [conv, *(x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in (q, k, v)), gates]


def gradients(layer: MLSTMLayer, loss: Tensor, **others: Tensor) -> dict[str, Tensor]:
    """Of the weights that the loss depends on, and of the others."""
    named = {**dict(layer.named_parameters()), **others}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: g for name, g in zip(named, found, strict=True) if g is not None}


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).norm() / value.norm()
        assert error < 1e-5, f"{name}: {error}"


def weighted(parts: list[Tensor]) -> Tensor:
    """A loss in which every value has a weight of its own."""
    torch.manual_seed(1)
    return torch.stack([(x * torch.randn(x.shape).to(x)).sum() for x in parts]).sum()


# A head size, 40, and a width, 80, that are no powers of two and no multiples of a tile.
@pytest.mark.parametrize(
    ("length", "with_past", "with_segment"),
    [(7, False, False), (20, True, True), (50, True, False), (20, False, True)],
)
@pytest.mark.usefixtures("small_tiles")
def test_inputs_equal_the_reference(
    layer: MLSTMLayer, length: int, with_past: bool, with_segment: bool
) -> None:
    u = torch.randn(BATCH, length, 2 * INNER, device=DEVICE, requires_grad=True)
    past = torch.randn(BATCH, 3, INNER, device=DEVICE) if with_past else None
    segment = segment_of(length) if with_segment else None
    want = plain_inputs(layer, u, past, segment)
    *got, link = fused_inputs(layer, u, past, segment)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    # The gradient of the other half arrives by the link.
    other = torch.randn_like(u)[..., INNER:]
    loss = weighted(got) + (other * link[..., INNER:]).sum()
    expected = weighted(want) + (other * u[..., INNER:]).sum()
    check(gradients(layer, loss, u=u), gradients(layer, expected, u=u))


def test_inputs_in_tiles_as_on_a_gpu(layer: MLSTMLayer) -> None:
    """Tiles wider and longer than all there is; a program's channels also where tiles fit."""
    assert inputs_module.FORWARD.span > INNER
    u = torch.randn(BATCH, 20, 2 * INNER, device=DEVICE, requires_grad=True)
    segment = segment_of(20)
    *got, link = fused_inputs(layer, u, None, segment)
    loss = weighted(got) + 0 * link.sum()
    expected = weighted(plain_inputs(layer, u, None, segment)) + 0 * u.sum()
    check(gradients(layer, loss, u=u), gradients(layer, expected, u=u))


def test_a_program_ends_with_the_channels_where_its_tiles_fit() -> None:
    """Two tiles of 64 channels, of the eight that a program could take."""
    torch.manual_seed(0)
    layer = MLSTMLayer(XLSTMConfig(d_model=64, num_layers=1, num_heads=HEADS)).to(DEVICE)
    shaken(layer)
    layer.to(DEVICE)
    u = torch.randn(BATCH, 20, 256, device=DEVICE)
    with torch.no_grad():
        *got, _ = fused_inputs(layer, u, None, segment_of(20))
        want = plain_inputs(layer, u, u.new_zeros(BATCH, 3, 128), segment_of(20))
    check(dict(zip("cqkvg", got, strict=True)), dict(zip("cqkvg", want, strict=True)))


# Several rows at a time, and a single one, whose sums are scalars.
@pytest.mark.parametrize(("length", "values"), [(7, 512), (20, 512), (20, 40)])
def test_output_equals_the_reference(
    monkeypatch: pytest.MonkeyPatch, layer: MLSTMLayer, length: int, values: int
) -> None:
    tiles = output_module.Tiles(values=values, warps=1, programs=4)
    for name in ("FORWARD", "BACKWARD"):
        monkeypatch.setattr(output_module, name, tiles)
    shape = (BATCH, HEADS, length, INNER // HEADS)
    reads = torch.randn(shape, device=DEVICE, requires_grad=True)
    conv = torch.randn(BATCH, length, INNER, device=DEVICE, requires_grad=True)
    u = torch.randn(BATCH, length, 2 * INNER, device=DEVICE, requires_grad=True)
    norm, skip = layer.mlstm_cell.outnorm, layer.learnable_skip
    read = norm(reads.transpose(1, 2).flatten(-2))
    want = (read + skip * conv) * F.silu(u[..., INNER:])
    # The gradient of u goes to what stands for it; of the first half there is none.
    link = torch.zeros(1, device=DEVICE).expand(u.shape).requires_grad_()
    got = mlstm_output(reads, norm.weight, skip, conv, u, link)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    found = gradients(layer, weighted([got]), reads=reads, conv=conv, u=link)
    expected = gradients(layer, weighted([want]), reads=reads, conv=conv, u=u)
    found["u"], expected["u"] = found["u"][..., INNER:], expected["u"][..., INNER:]
    check(found, expected)


@pytest.fixture
def bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teach the interpreter products of bfloat16, whose bits it would take for integers."""
    if DEVICE == "cuda":
        return
    builder = triton.runtime.interpreter.InterpreterBuilder
    plain = builder.create_dot

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        a, b = (self.cast_impl(x, tl.float32) if x.dtype == tl.bfloat16 else x for x in (a, b))
        return plain(self, a, b, *rest)

    monkeypatch.setattr(builder, "create_dot", create_dot)


@pytest.mark.usefixtures("bfloat16_products")
def test_bfloat16_in_and_out(layer: MLSTMLayer) -> None:
    """Values and gradients in the type of the up-projection, as near as its rounding allows."""
    u = torch.randn(BATCH, 20, 2 * INNER, device=DEVICE).bfloat16().requires_grad_()
    whole = u.detach().float().requires_grad_()
    segment = segment_of(20)
    *got, link = fused_inputs(layer, u, None, segment)
    assert [x.dtype for x in got] == [torch.bfloat16] * 4 + [torch.float32]
    norm, skip = layer.mlstm_cell.outnorm, layer.learnable_skip
    got.append(mlstm_output(got[3], norm.weight, skip, got[0], u, link))
    want = plain_inputs(layer, whole, None, segment)
    read = norm(want[3].transpose(1, 2).flatten(-2))
    want.append((read + skip * want[0]) * F.silu(whole[..., INNER:]))
    found = gradients(layer, weighted([x.float() for x in got]), u=u)
    expected = gradients(layer, weighted(want), u=whole)
    assert found.keys() == expected.keys()
    assert {n: g.dtype for n, g in found.items() if n == "u"} == {"u": torch.bfloat16}
    found.update({str(n): x for n, x in enumerate(got)})
    expected.update({str(n): x for n, x in enumerate(want)})
    for name, value in expected.items():
        assert (found[name] - value).norm() / value.norm() < 1e-2, name


def test_counted_in_the_utilisation(layer: MLSTMLayer) -> None:
    """Of the maps each value takes 4 products, and each gate all 3 of them."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        fused_inputs(layer, torch.zeros(BATCH, 20, 2 * INNER, device=DEVICE), None, None)
    folding = 2 * 3 * (2 * HEADS) * INNER * 4  # the gates' weights with those of the maps
    tokens = BATCH * 20
    expected = 2 * tokens * 3 * INNER * (4 + 2 * HEADS)
    assert counter.get_total_flops() == expected + folding


def close_for_their_size(found: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    close = 1e-3 if DEVICE == "cuda" else 1e-4  # sums are in another order there
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=close * (b.abs().max().item() + 1e-3), rtol=0)


def shaken_stack(layers: int) -> tuple[XLSTM, Tensor]:
    """A stack and its inputs, the same on every device.

    Shaken less than a layer alone: by 0.3, every sixth draw of inputs makes more than 1e-3 of
    float32's own roundings, by 0.1 the worst of forty makes 1e-4.
    """
    torch.manual_seed(5)
    stack = XLSTM(config(layers))
    shaken(stack, by=0.1)
    return stack.to(DEVICE), torch.randn(BATCH, 20, WIDTH).to(DEVICE).requires_grad_()


def on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_on_gpu", lambda x: True)


@pytest.mark.parametrize("segment", [None, segment_of(20)])
def test_a_stack_uses_them_and_equals_itself(
    monkeypatch: pytest.MonkeyPatch, segment: Tensor | None
) -> None:
    """Outputs, gradients and the state, and that gradient steps and windows follow each other."""
    stack, x = shaken_stack(layers=2)
    starts = None
    if segment is not None:
        starts = torch.diff(segment, prepend=torch.zeros_like(segment[:, :1])).bool()

    def run() -> list[Tensor]:
        _, state = stack(x.detach(), starts)
        hidden, state = stack(x, starts, {n: value.detach() for n, value in state.items()})
        grads = torch.autograd.grad(weighted([hidden]), [x, *stack.parameters()])
        return [hidden, *state.values(), *grads]

    monkeypatch.setenv(accelerators.SWITCH, "off")
    want = run()
    on_a_gpu(monkeypatch)
    for a, b in zip(run(), want, strict=True):
        assert torch.equal(a, b)  # still off
    monkeypatch.delenv(accelerators.SWITCH)
    close_for_their_size(run(), want)


@pytest.mark.parametrize("surrounded", [True, False])
def test_reads_of_some_tokens_are_those_of_all(
    monkeypatch: pytest.MonkeyPatch, surrounded: bool
) -> None:
    """With the kernels around the memory, and with the window's alone."""
    on_a_gpu(monkeypatch)
    if not surrounded:
        monkeypatch.setattr(mlstm_block, "mlstm_surroundings", lambda *_: None)
    stack, x = shaken_stack(layers=2)
    starts = torch.diff(segment_of(20), prepend=torch.zeros_like(segment_of(20)[:, :1])).bool()
    reads = slice(1, None, 3)

    def run(*reads: slice) -> list[Tensor]:
        hidden, state = stack(x, starts, None, True, *reads)
        hidden = hidden if reads else hidden[:, 1::3]
        grads = torch.autograd.grad(weighted([hidden, state["1.C"]]), [x, *stack.parameters()])
        return [hidden, *state.values(), *grads]

    for a, b in zip(run(reads), run(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5 * (b.abs().max().item() + 1e-3), rtol=0)


def test_who_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    skip = torch.ones(INNER)

    def used(u: Tensor, weight: Tensor = skip, heads: int = HEADS) -> bool:
        return accelerators.mlstm_surroundings(u, weight, heads) is not None

    many, few = torch.zeros(2, 16, 160), torch.zeros(2, 15, 160)
    assert not used(many)  # on the CPU
    on_a_gpu(monkeypatch)
    assert used(many)
    assert used(many.bfloat16())
    assert not used(few)
    assert not used(many.double())
    assert not used(many, skip.bfloat16())
    assert not used(many, heads=33)


def test_compiled_as_a_whole(monkeypatch: pytest.MonkeyPatch, layer: MLSTMLayer) -> None:
    """Traced without a break."""
    on_a_gpu(monkeypatch)
    operators: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        operators.extend(str(node.target) for node in graph.graph.nodes)
        return torch._dynamo.lookup_backend("aot_eager")(graph, _)

    stack, x = shaken_stack(layers=1)
    args = (x, None, None, True, slice(1, None, 3))
    want = torch.autograd.grad(stack(*args)[0].square().sum(), [x, *stack.parameters()])
    expect_compiler()
    compiled = torch.compile(stack, backend=backend, fullgraph=True)
    got = torch.autograd.grad(compiled(*args)[0].square().sum(), [x, *stack.parameters()])
    assert any("lram.mlstm_inputs" in name for name in operators)
    close_for_their_size(got, want)


LAUNCH = """
from lram_core.kernels.mlstm_inputs import mlstm_inputs
from lram_core.kernels.mlstm_output import mlstm_output

inner, heads, batch, length = int(sys.argv[1]), int(sys.argv[2]), 2, 20
first = sys.argv[3] == "first"  # a first window has no past; the other here, no episode starts
w = lambda *shape: torch.randn(shape, requires_grad=True)
u = w(batch, length, 2 * inner).to(getattr(torch, sys.argv[4]))
past = None if first else w(batch, 3, inner).detach()
segment = torch.zeros(batch, length, dtype=torch.int64) if first else None
maps = (w(inner // 4, 4, 4) for _ in range(3))
gates = (w(2 * heads, 3 * inner), w(2 * heads), heads)
x = mlstm_inputs(u, past, segment, w(inner, 1, 4), w(inner), *maps, *gates)
out = mlstm_output(x.q, w(inner), w(inner), x.conv, u, x.link)
(out.sum() + x.k.sum() + x.v.sum() + x.gates.sum()).backward()
"""


@pytest.mark.parametrize(
    "case",
    [(2560, 4, "first", "bfloat16"), (2560, 20, "later", "bfloat16"), (80, 2, "first", "float32")],
)
def test_all_compile_for_an_h200_without_one(tmp_path: Path, case: tuple[object, ...]) -> None:
    """As they are launched there, all but the launch itself; two models of 206M parameters."""
    names = [
        "inputs_forward",
        "output_forward",
        "output_backward",
        "conv_gradient",
        "inputs_gradient",
        "weights_gradient",
    ]
    assert compiled_kernels(LAUNCH, tmp_path, *case) == names
