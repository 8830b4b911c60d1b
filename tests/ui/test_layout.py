"""Where the parts of a chart lie."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from piker.ui._layout import lay_out

SHARES = {"prices": 1.0, "volume": 0.16, "rsi 14": 0.14}


def test_a_usual_one():
    layout = lay_out(1000, 520, 60, 20, SHARES)
    assert (layout.plot_width, layout.axis_width, layout.plot_bottom) == (940, 60, 500)
    assert [(s.name, s.top, s.bottom) for s in layout.strips] == [
        ("prices", 0, 350), ("volume", 350, 430), ("rsi 14", 430, 500),
    ]  # fmt: skip
    assert layout["volume"].height == 80
    with pytest.raises(KeyError, match="macd"):
        layout["macd"]


@given(
    st.floats(-10, 5000), st.floats(-10, 5000), st.floats(0, 300), st.floats(0, 60),
    st.lists(st.floats(0, 0.5), max_size=9),
)  # fmt: skip
def test_strips_fill_the_picture_without_a_gap(width, height, axis, below, shares):
    named = {"prices": 1.0} | {f"s{i}": share for i, share in enumerate(shares)}
    layout = lay_out(width, height, axis, below, named)
    strips = layout.strips
    assert strips[0].name == "prices"
    assert strips[0].top == 0
    assert strips[-1].bottom == pytest.approx(layout.plot_bottom)
    assert all(one.bottom == other.top for one, other in pairwise(strips))
    assert strips[0].height >= layout.plot_bottom / 3 - 1
    assert all(strip.height >= 24 for strip in strips[1:])
    assert layout.plot_width >= 1
    assert [s.name for s in strips[1:]] == [n for n in named if n in
                                            {s.name for s in strips[1:]}]  # fmt: skip
    for strip in strips:
        assert layout.at(strip.top) == (strip if strip.height else None)
    assert layout.at(-1) is layout.at(strips[-1].bottom) is None


def test_what_there_is_no_room_for_is_left_out_from_the_end():
    many = {"prices": 1.0, "volume": 0.16} | {f"s{i}": 0.14 for i in range(6)}
    names = [strip.name for strip in lay_out(1000, 1000, 60, 20, many).strips]
    assert names == ["prices", "volume", "s0", "s1", "s2"]
    assert [s.name for s in lay_out(1000, 120, 60, 20, many).strips] == ["prices"]
