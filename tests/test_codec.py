"""Action codec: round trip within half a bin, no bias, limits respected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lram_core.codec import ActionCodec
from lram_core.contract import ActionField
from lram_core.errors import ContractError


def codec(low: float, high: float, bins: int) -> ActionCodec:
    return ActionCodec((ActionField("joint", "rad", "joint_position", low, high),), bins)


limits = st.tuples(st.floats(-1e3, 1e3), st.floats(1e-2, 1e3)).map(lambda p: (p[0], p[0] + p[1]))


@given(limits=limits, bins=st.integers(2, 1024), where=st.floats(0, 1))
def test_round_trip_is_off_by_half_a_bin_at_most(
    limits: tuple[float, float], bins: int, where: float
) -> None:
    low, high = limits
    value = min(high, low + where * (high - low))
    c = codec(low, high, bins)
    back = c.decode(c.encode([value]))
    assert abs(back[0] - value) <= c.width[0] / 2 * (1 + 1e-9) + 1e-9
    assert low <= back[0] <= high


@given(limits=limits, bins=st.integers(2, 1024), data=st.data())
def test_every_bin_survives_a_round_trip(
    limits: tuple[float, float], bins: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, bins - 1))
    c = codec(*limits, bins)
    assert c.encode(c.decode([index]))[0] == index


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_values_beyond_a_limit_take_the_outermost_bin(value: float) -> None:
    index = codec(-1, 1, 256).encode([value])[0]
    assert 0 <= index <= 255
    if value >= 1:
        assert index == 255
    if value <= -1:
        assert index == 0


def test_decoding_is_to_the_bin_centre_and_unbiased() -> None:
    c = codec(-1, 1, 256)
    assert c.decode([0])[0] == pytest.approx(-1 + 1 / 256)
    assert c.decode([255])[0] == pytest.approx(1 - 1 / 256)
    assert abs(c.decode(np.arange(256)[:, None]).mean()) < 1e-12


def test_non_finite_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        codec(-1, 1, 256).encode([np.nan])


@given(low=st.integers(-5, 5), choices=st.integers(2, 20), more=st.integers(0, 30))
def test_a_choice_is_a_bin(low: int, choices: int, more: int) -> None:
    field = ActionField("move", "1", "discrete", float(low), float(low + choices - 1))
    c = ActionCodec((field,), choices + more)
    values = np.arange(low, low + choices, dtype=float)[:, None]
    np.testing.assert_array_equal(c.encode(values)[:, 0], np.arange(choices))
    np.testing.assert_array_equal(c.decode(c.encode(values)), values)
    # What a model was never taught to choose is the last choice, not a value beyond it.
    assert c.decode([choices + more - 1])[0] == values[-1, 0]
    assert c.encode([low + choices + 3.0])[0] == choices - 1


def test_choices_need_as_many_bins() -> None:
    field = ActionField("move", "1", "discrete", 0.0, 4.0)
    with pytest.raises(ContractError, match="action move has 5 choices, the model 4 bins"):
        ActionCodec((field,), 4)
