"""Colours that can be read, and told apart."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from piker.ui._theme import DARK, LIGHT, THEMES, Theme, contrast, luminance, text_on

BOTH = pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
#: Behind labels, or lines by themselves.
TAGS = ("up", "down", "line", "buy", "sell", "alert", "live", "warn", "bad", "cross")


def colors(theme: Theme) -> dict[str, str]:
    named = {field.name: getattr(theme, field.name) for field in fields(theme)}
    overlays = {f"overlay {i}": each for i, each in enumerate(named.pop("overlays"))}
    del named["name"]
    return named | overlays


@BOTH
def test_each_is_a_colour(theme: Theme):
    for name, color in colors(theme).items():
        assert re.fullmatch(r"#[0-9a-f]{6}|#[0-9a-f]{8}", color), name
    assert THEMES[theme.name] is theme


@BOTH
@pytest.mark.parametrize("behind", ["back", "panel"])
def test_text_can_be_read(theme: Theme, behind: str):
    assert contrast(theme.text, getattr(theme, behind)) >= 7
    # labels of axes are text as well
    assert contrast(theme.faint, getattr(theme, behind)) >= 4.5
    for name in ("up", "down", "buy", "sell", "alert", "live", "warn", "bad"):
        assert contrast(getattr(theme, name), getattr(theme, behind)) >= 3, name


@BOTH
def test_text_on_tags_can_be_read(theme: Theme):
    tags = [getattr(theme, name) for name in TAGS] + list(theme.overlays)
    for color in tags:
        assert contrast(color, text_on(color)) >= 4.5, color


@BOTH
def test_lines_stand_out_from_what_is_behind_them(theme: Theme):
    for color in (theme.line, *theme.overlays, theme.cross):
        assert contrast(color, theme.back) >= 3, color
    # what only divides stays behind
    for color in (theme.grid, theme.edge, theme.closed):
        assert 1.05 < contrast(color, theme.back) < 2.2, color


@BOTH
def test_rising_and_falling_differ_in_lightness_too(theme: Theme):
    assert contrast(theme.up, theme.down) >= 1.2
    assert contrast(theme.buy, theme.sell) >= 1.2


@BOTH
def test_overlays_are_told_apart(theme: Theme):
    assert len(set(theme.overlays)) == len(theme.overlays) >= 6
    assert theme.line not in theme.overlays


@BOTH
def test_a_live_account_looks_like_nothing_else(theme: Theme):
    others = [color for name, color in colors(theme).items() if name != "live"]
    assert theme.live not in others


def test_contrast_as_wcag_has_it():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert contrast("#ffffff", "#ffffff") == 1
    assert luminance("#80ff0000") == luminance("#ff0000") == pytest.approx(0.2126)
    assert (text_on("#ffffff"), text_on("#000000")) == ("#000000", "#ffffff")
