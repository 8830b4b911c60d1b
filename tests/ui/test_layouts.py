"""Layouts on disk: what was saved is there; what is damaged costs the layout only."""

from __future__ import annotations

import pytest

from piker.errors import ConfigError, UsageError
from piker.ui import Wanted, layout_for, period_of
from piker.ui._layouts import (
    Layout,
    WindowLayout,
    layouts_path,
    load_layout,
    load_layouts,
    save_layout,
)

ONE = WindowLayout(fqmes=("btcusdt.spot.sim", "ethusdt.spot.sim"), period_s=300)
BOTH = Layout(
    windows=(ONE, WindowLayout(fqmes=("a.b.sim",), style="line", log=True)),
    watchlist=("ethusdt.spot.sim",),
    theme="light",
    utc=False,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))


def test_what_was_saved_is_there_by_its_name():
    save_layout(BOTH)
    save_layout(Layout(windows=(ONE,)), "work")
    assert load_layout() == BOTH
    assert load_layout("work") == Layout(windows=(ONE,))
    assert load_layout("other") is None


@pytest.mark.parametrize(
    "text",
    [
        "[last", "last = 3", '[last]\ntheme = "pink"',
        '[last]\nwindows = [{fqmes = ["a.b.sim"], period_s = 0}]',
        '[last]\nwindows = [{fqmes = ["a.b.sim"], style = "dots"}]',
        "[last]\nwindows = [{fqmes = []}]", "\x00",
    ],
)  # fmt: skip
def test_a_damaged_file_costs_the_layout_only(text):
    layouts_path().parent.mkdir(parents=True)
    layouts_path().write_text(text)
    with pytest.raises(ConfigError, match=r"chart\.toml") as caught:
        load_layouts()
    assert "\n" not in str(caught.value)
    assert load_layout() is None
    with pytest.raises(UsageError, match="name a market"):
        layout_for(Wanted())
    save_layout(BOTH)
    assert load_layout() == BOTH


def test_what_is_asked_for_is_opened():
    save_layout(BOTH)
    assert layout_for(Wanted()) == BOTH
    asked = layout_for(Wanted(period_s=60, theme="dark"))
    assert [window.period_s for window in asked.windows] == [60, 60]
    assert asked.theme == "dark"
    named = layout_for(Wanted(fqmes=("x.y.sim",)))
    assert [window.fqmes for window in named.windows] == [("x.y.sim",)]
    assert named.watchlist == BOTH.watchlist
    assert named.theme == ""


@pytest.mark.parametrize(
    ("text", "period_s"),
    [
        ("1s", 1),
        ("45", 45),
        ("5m", 300),
        ("1h", 3600),
        ("1D", 86_400),
        ("2w", 1_209_600),
    ],
)
def test_periods_are_typed(text, period_s):
    assert period_of(text) == period_s


@pytest.mark.parametrize("text", ["", "0", "90s", "m", "-5m", "1y", "999999d", "1.5m"])
def test_odd_periods_are_refused_in_a_sentence(text):
    with pytest.raises(UsageError, match="a period is e.g. 1s") as caught:
        period_of(text)
    assert repr(text) in str(caught.value)
