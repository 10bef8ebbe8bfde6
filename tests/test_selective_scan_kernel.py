"""Mamba's scan as kernels: numbers and gradients of the plain loop, by Triton's interpreter.

The interpreter is chosen in ``conftest.py``, where there is no GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from gpu_launch import compiled_kernels
from torch import Tensor

from lram_core import accelerators
from lram_core.backbones.mamba import Mamba, MambaConfig
from lram_core.compiling import expect_compiler
from lram_core.kernels import selective_scan as kernels
from lram_core.selective_scan import selective_scan
from lram_core.testing import roughened

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, WIDTH = 2, 40  # 40 is no multiple of the channels of a program


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter runs one after the other; and the loop is not to be replaced by itself."""
    monkeypatch.setattr(kernels, "_CHANNELS", (32,))
    monkeypatch.setenv(accelerators.SWITCH, "off")


def inputs(tokens: int, states: int, width: int = WIDTH) -> list[Tensor]:
    """x, dt, rates, write, read and the first state, each to be differentiated."""
    generator = torch.Generator().manual_seed(tokens)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    dt = torch.nn.functional.softplus(normal(BATCH, tokens, width) - 2)
    rates = -torch.arange(1.0, states + 1) * torch.exp(normal(width, 1))
    write_read = normal(BATCH, tokens, 2 * states).split(states, dim=-1)  # strided as the model's
    args = (normal(BATCH, tokens, width), dt, rates, *write_read, normal(BATCH, width, states))
    return [v.to(DEVICE).detach().requires_grad_() for v in args]


def episodes(tokens: int) -> tuple[Tensor, Tensor]:
    """(B, S): episode starts, one of them at the first token, and the segments they make."""
    generator = torch.Generator().manual_seed(tokens)
    starts = torch.rand(BATCH, tokens, generator=generator) < 0.15
    starts[0, 0] = True
    return starts.to(DEVICE), starts.cumsum(dim=1).to(DEVICE)


def values_and_gradients(
    scan: Callable[..., tuple[Tensor, Tensor]],
    args: list[Tensor],
    starts: Tensor | None,
    last: bool,
) -> list[Tensor]:
    y, state = scan(*args, starts)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(v.shape, generator=generator).to(DEVICE) for v in (y, state)]
    loss = (y * weights[0]).sum()
    if last:
        loss = loss + (state * weights[1]).sum()
    return [y.detach(), state.detach(), *torch.autograd.grad(loss, args)]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        scale = float(b.abs().max()) or 1.0
        torch.testing.assert_close(a / scale, b / scale, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "states", "with_starts", "last"),
    [(7, 16, False, True), (16, 8, True, False), (37, 8, True, True), (70, 16, True, False)],
)
def test_values_and_gradients_equal_the_loop(
    tokens: int, states: int, with_starts: bool, last: bool
) -> None:
    args = inputs(tokens, states)
    starts, segment = episodes(tokens) if with_starts else (None, None)
    expected = values_and_gradients(selective_scan, args, segment, last)
    assert_equal(values_and_gradients(kernels.scan, args, starts, last), expected)


@pytest.mark.parametrize(("enough", "channels"), [(4, 16), (5, 8), (7, 8)])
def test_any_number_of_channels_a_program(
    monkeypatch: pytest.MonkeyPatch, enough: int, channels: int
) -> None:
    monkeypatch.setattr(kernels, "_CHANNELS", (16, 8))
    monkeypatch.setattr(kernels, "_ENOUGH_PROGRAMS", enough)
    assert kernels._channels(BATCH, 20) == channels
    args = inputs(9, 16, width=20)
    expected = values_and_gradients(selective_scan, args, None, True)
    assert_equal(values_and_gradients(kernels.scan, args, None, True), expected)


def test_gradient_of_the_last_state_alone() -> None:
    args = inputs(9, 16)
    wanted = [selective_scan(*args)[1].square().sum(), kernels.scan(*args)[1].square().sum()]
    expected, found = (torch.autograd.grad(v, args, materialize_grads=True) for v in wanted)
    assert not expected[4].any()
    assert not found[4].any()  # what is read has no part in the state
    assert_equal([*found[:4], found[5]], [*expected[:4], expected[5]])


def test_what_the_backward_pass_needs_is_kept_only_for_it() -> None:
    args = inputs(9, 16)
    whole = [v.contiguous() for v in args]
    assert kernels._scan(*whole, None, True)[2].shape == (BATCH, 2, WIDTH, 16)
    assert kernels._scan(*whole, None, False)[2].numel() == 0
    with torch.no_grad():
        y, _ = kernels.scan(*args)
    assert y.grad_fn is None


def test_long_steps_forget_without_overflow() -> None:
    dt = torch.full((1, 9, 8), 1e3, device=DEVICE)
    x, ones = torch.ones_like(dt), torch.ones(1, 9, 16, device=DEVICE)
    rates = -torch.arange(1.0, 17.0, device=DEVICE).expand(8, 16)
    huge = torch.full((1, 8, 16), 1e30, device=DEVICE)
    y, state = kernels.scan(x, dt, rates, ones, ones, huge)
    torch.testing.assert_close(state, torch.full_like(huge, 1e3))
    torch.testing.assert_close(y, torch.full_like(y, 16e3))


def test_operators_are_what_torch_compile_takes_them_for() -> None:
    args = [v.detach().contiguous().requires_grad_() for v in inputs(9, 8, width=8)]
    for starts in (None, episodes(9)[0]):
        torch.library.opcheck(kernels._scan, (*args, starts, True))


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels are taken as on a GPU: all of the choice but where the tensors lie."""
    monkeypatch.setenv(accelerators.SWITCH, "on")
    monkeypatch.setattr(accelerators, "_on_gpu", lambda x: True)


def test_compiled_as_one_program(chosen: None) -> None:
    args = inputs(9, 8, width=8)
    _, segment = episodes(9)
    torch.compiler.reset()
    expect_compiler()
    compiled = torch.compile(selective_scan, fullgraph=True, backend="aot_eager")
    expected = values_and_gradients(selective_scan, args, segment, True)
    assert_equal(values_and_gradients(compiled, args, segment, True), expected)


def losses(steps: int) -> list[float]:
    torch.manual_seed(0)
    model = roughened(Mamba(MambaConfig(d_model=16, num_layers=2))).to(DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    tokens, target = torch.randn(2, 2, 12, 16, device=DEVICE).unbind(0)
    reset = torch.zeros(2, 12, dtype=torch.bool, device=DEVICE)
    reset[0, 5] = True
    made = []
    for _ in range(steps + 1):
        loss = (model(tokens, reset_mask=reset)[0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        made.append(loss.item())
    return made


def test_a_model_trains_as_with_the_loop(request: pytest.FixtureRequest) -> None:
    expected = losses(2)
    calls = []
    request.getfixturevalue("chosen")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr(kernels, "scan", lambda *a, real=kernels.scan: (calls.append(a), real(*a))[1])
    assert losses(2) == pytest.approx(expected, rel=1e-5)
    assert expected[2] < 0.99 * expected[0]
    assert len(calls) == 2 * 3


LAUNCH = """
from lram_core.kernels import selective_scan

selective_scan._ENOUGH_PROGRAMS = 1  # as of a large batch
x, dt = torch.zeros(2, 2, 9, 2560, requires_grad=True).unbind(0)
rates, state = torch.zeros(2560, 16), torch.zeros(2, 2560, 16)
write, read = torch.zeros(2, 9, 32).split(16, dim=-1)
y, last = selective_scan.scan(x, dt, rates, write, read, state)
y.sum().backward()
starts = torch.zeros(2, 9, dtype=torch.bool)
y, last = selective_scan.scan(x, dt, rates, write, read, state, starts)
(y.sum() + last.sum()).backward()
"""


def test_both_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    """As they are launched there, all but the launch itself."""
    assert compiled_kernels(LAUNCH, tmp_path) == ["_forward", "_backward"] * 2
