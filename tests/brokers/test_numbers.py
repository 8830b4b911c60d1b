"""Numbers that venues tell: those that an order can have are taken as they are."""

from __future__ import annotations

from decimal import Decimal as D  # noqa: N817

import pytest

from piker.brokers._live._numbers import positive, sane
from piker.errors import BadPayload

RAW = b"{}"


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ("0", "0"),
        ("0E-32", "0"),
        ("-0.00", "0"),
        ("1.50", "1.5"),
        ("1.999999360000000000000000000", "1.99999936"),
        ("1e-18", "1e-18"),
        ("1.0e-17", "1e-17"),
        ("12E3", "12000"),
        ("9" * 20, "9" * 20),
        ("9" * 20 + "." + "9" * 18, "9" * 20 + "." + "9" * 18),
        ("1." + "0" * 5000, "1"),
    ],
)
def test_zeros_at_its_end_make_no_number_odd(told, wanted):
    assert sane(D(told), "x", RAW) == D(wanted)


@pytest.mark.parametrize(
    "told",
    ["1e-19", "-1e-18", "-1", "1e20", "NaN", "Infinity", "sNaN", "0." + "1" * 19],
)
def test_what_no_order_can_have_is_refused(told):
    with pytest.raises(BadPayload, match="an odd number"):
        sane(D(told), "x", RAW)


@pytest.mark.parametrize("told", ["0", "0E-40", "-0"])
def test_nothing_is_not_positive(told):
    with pytest.raises(BadPayload):
        positive(D(told), "x", RAW)
