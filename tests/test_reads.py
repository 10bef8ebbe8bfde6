"""Hidden states of some tokens only: the same values, gradients and state, for fewer products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lram_core.action_model import ACTION_TOKENS
from lram_core.backbones import BACKBONES, Backbone, State, make_config
from lram_core.testing import roughened
from lram_core.training.parallel import blocks_of

WIDTH, TOKENS = 32, 40
# The last block is of each kind there is; chunks shorter than the window, and no multiple of a
# tick, so that the tokens read are others in each.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "xlstm": ("xlstm", {"num_layers": 2, "num_heads": 2, "chunk_size": 13}),
    "slstm-last": ("xlstm", {"num_layers": 2, "slstm_at": [1], "chunk_size": 13}),
    "mamba": ("mamba", {"num_layers": 2, "chunk_size": 7}),
    "transformer": ("transformer", {"num_layers": 2, "context": 5, "max_timesteps": 20}),
}
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def build(variant: str) -> Backbone:
    name, options = VARIANTS[variant]
    torch.manual_seed(1)
    return roughened(BACKBONES[name][0](make_config(name, {"d_model": WIDTH, **options})))  # type: ignore[arg-type,return-value]


@pytest.fixture(scope="module", params=list(VARIANTS))
def model(request: pytest.FixtureRequest) -> Backbone:
    return build(request.param)


def window(seed: int, starts: bool) -> tuple[Tensor, Tensor | None]:
    rng = torch.Generator().manual_seed(seed)
    tokens = torch.randn(2, TOKENS, WIDTH, generator=rng)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[0, [9, 30, TOKENS - 1]] = mask[1, 0] = True
    return tokens, mask if starts else None


def carried(model: Backbone) -> State:
    """The state after a window, as leaves of what follows."""
    with torch.no_grad():
        _, state = model(window(3, True)[0])
    return {n: v.clone().requires_grad_(v.is_floating_point()) for n, v in state.items()}


def everything(
    model: Backbone,
    run: Callable[..., tuple[Tensor, State]],
    starts: bool,
    state: State | None,
    want_state: bool,
) -> dict[str, Tensor]:
    """Hidden states, the state, and the gradients of a loss in which all values of both count."""
    tokens, mask = window(2, starts)
    tokens.requires_grad_()
    hidden, after = run(tokens, mask, state, want_state)
    loss = torch.tensor(0.0)
    for number, value in enumerate([hidden, *after.values()]):
        if value.requires_grad:
            rng = torch.Generator().manual_seed(number)
            loss = loss + (value * torch.randn(value.shape, generator=rng)).sum()
    leaves = {"tokens": tokens, **dict(model.named_parameters())}
    leaves |= {f"before.{n}": v for n, v in (state or {}).items() if v.requires_grad}
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {"hidden": hidden, **{f"after.{name}": value for name, value in after.items()}}
    for name, gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            found[f"gradient of {name}"] = gradient
    return {name: value.detach() for name, value in found.items()}


def check(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, **CLOSE, msg=lambda text, name=name: f"{name}: {text}"
        )


def sliced(model: Backbone, reads: slice) -> Callable[..., tuple[Tensor, State]]:
    """What ``reads`` stands for."""

    def run(*args: Any) -> tuple[Tensor, State]:
        hidden, state = model(*args)
        return hidden[:, reads], state

    return run


@pytest.mark.parametrize("want_state", [True, False], ids=["state wanted", "no state"])
@pytest.mark.parametrize("carry", [True, False], ids=["carried", "fresh"])
@pytest.mark.parametrize("starts", [True, False], ids=["starts", "no starts"])
def test_hidden_states_gradients_and_state_are_those_of_all_tokens(
    model: Backbone, starts: bool, carry: bool, want_state: bool
) -> None:
    args = (starts, carried(model) if carry else None, want_state)
    reading = lambda *given: model(*given, ACTION_TOKENS)  # noqa: E731
    found = everything(model, reading, *args)
    assert found["hidden"].shape == (2, len(range(TOKENS)[ACTION_TOKENS]), WIDTH)
    check(found, everything(model, sliced(model, ACTION_TOKENS), *args))


@given(
    reads=st.builds(
        slice,
        st.none() | st.integers(-TOKENS, TOKENS - 1),
        st.none() | st.integers(1, TOKENS),
        st.none() | st.integers(1, 20),
    ).filter(lambda reads: len(range(TOKENS)[reads]) > 0)
)
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_any_slice(model: Backbone, reads: slice) -> None:
    """Those of which some chunks have no token among them."""
    tokens, mask = window(2, True)
    expected, after = sliced(model, reads)(tokens, mask)
    found, state = model(tokens, mask, None, True, reads)
    torch.testing.assert_close(found, expected, **CLOSE)
    for name, value in after.items():
        torch.testing.assert_close(state[name], value, **CLOSE)


@pytest.mark.parametrize("variant", VARIANTS)
def test_compiled_block_by_block(variant: str) -> None:
    model, compiled = build(variant), build(variant)
    programs = 0

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        nonlocal programs
        programs += 1
        return graph.forward

    torch._dynamo.reset()
    for block in blocks_of(compiled):
        block.compile(backend=count)
    args = (True, carried(model), True)
    reading = lambda *given: compiled(*given, ACTION_TOKENS)  # noqa: E731
    expected = everything(model, sliced(model, ACTION_TOKENS), *args)
    check(everything(compiled, reading, *args), expected)
    first = programs
    check(everything(compiled, reading, *args), expected)
    assert programs == first > 0  # nothing is compiled anew for a slice that is as before


@torch.no_grad()
def test_a_third_of_what_follows_the_state_is_left_of_the_last_block(model: Backbone) -> None:
    """The other blocks cost what they did; of the last one, what the state needs stays."""

    def flops(*reads: slice) -> int:
        with FlopCounterMode(display=False) as counter:
            model(*window(2, True), None, True, *reads)
        return int(counter.get_total_flops())

    whole, part = flops(), flops(ACTION_TOKENS)
    assert part < 0.95 * whole
    assert flops(slice(None)) == whole
