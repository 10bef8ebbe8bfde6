"""Units: an explicit table, exact factors, errors that list what there is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lram_core.errors import ContractError
from lram_ros.units import RATES, TABLE, conversion, parse_unit, rate_conversion

SAME_DIMENSION = [(a, b) for units in TABLE.values() for a in units for b in units]


@pytest.mark.parametrize(
    ("found", "wanted", "factor"),
    [
        ("deg", "rad", math.pi / 180),
        ("rad", "deg", 180 / math.pi),
        ("mm", "m", 0.001),
        ("m", "0.01 m", 100.0),
        ("0.01 m", "mm", 10.0),
        ("deg/s", "rad/s", math.pi / 180),
        ("rpm", "rad/s", 2 * math.pi / 60),
        ("N mm", "N m", 0.001),
        ("Nm", "N m", 1.0),
        ("%", "1", 0.01),
        ("g", "m/s^2", 9.80665),
    ],
)
def test_factors(found, wanted, factor):
    assert conversion(found, wanted) == pytest.approx(factor, rel=1e-15)


@given(st.sampled_from(SAME_DIMENSION), st.floats(-1e6, 1e6))
def test_there_and_back(pair, value):
    there, back = conversion(*pair), conversion(*reversed(pair))
    assert value * there * back == pytest.approx(value, rel=1e-12)


@given(st.sampled_from(list(TABLE)), st.data())
def test_by_way_of_a_third(dimension, data):
    a, b, c = (data.draw(st.sampled_from(list(TABLE[dimension]))) for _ in range(3))
    assert conversion(a, c) == pytest.approx(conversion(a, b) * conversion(b, c), rel=1e-12)


@pytest.mark.parametrize("unit", ["degrees", "RAD", "", "m m", "-1 m", "nan m", "0 m", "inf m"])
def test_unknown_unit_lists_the_known_ones(unit):
    with pytest.raises(ContractError, match=r"is unknown; known are 1, %, m, cm, mm, rad"):
        parse_unit(unit)


def test_incompatible_units_name_both_dimensions():
    with pytest.raises(ContractError) as caught:
        conversion("deg", "m")
    assert str(caught.value) == (
        "unit 'deg' (angle) cannot become 'm' (length); units of length are m, cm, mm"
    )


def test_two_sides_that_agree_need_no_table():
    assert conversion("furlong", "furlong") == 1.0


def test_normalised_is_not_a_physical_unit():
    for unit in ("rad", "m", "N"):
        with pytest.raises(ContractError, match="plain number"):
            conversion("1", unit)


def test_rates():
    assert rate_conversion("rad", "deg/s") == pytest.approx(180 / math.pi)
    assert rate_conversion("mm", "m/s") == pytest.approx(0.001)
    with pytest.raises(ContractError, match=r"'m/s' \(velocity\) is not 'rad' \(angle\) a second"):
        rate_conversion("rad", "m/s")
    assert set(RATES) | set(RATES.values()) <= set(TABLE)


@pytest.mark.parametrize("units", TABLE.values(), ids=TABLE)
def test_the_first_of_a_dimension_is_the_si_unit(units):
    assert next(iter(units.values())) == 1.0
