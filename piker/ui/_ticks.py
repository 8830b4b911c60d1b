"""Where an axis is labelled, and with what.

prices: 1, 2 or 5 times a power of ten, never finer than the market's tick
times:  the round times of a clock on the wall, as far apart as labels need
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import islice, pairwise
from typing import Final

import numpy as np

from ._series import Ints
from ._view import Span

DAY_S: Final = 86_400
#: Steps a time axis may have, seconds; up to a day they divide one.
_STEPS_S: Final = (
    1, 2, 5, 10, 15, 30,
    60, 120, 300, 600, 900, 1800,
    3600, 7200, 10_800, 14_400, 21_600, 43_200,
    DAY_S, 2 * DAY_S, 7 * DAY_S,
)  # fmt: skip
_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120)
_MONTH_S: Final = 30.44 * DAY_S
#: More round times than that with bars tell of bars that are far apart.
_MOST_ROUNDS: Final = 1000
#: A market whose prices on an axis are so few times its tick apart is labelled by that.
_COARSE: Final = 64
#: Part of the height in the middle where a label that is alone stands.
_MIDDLE: Final = 0.7
#: What is labelled of each power of ten, the most that there is room for.
_FACTORS: Final = (
    (1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)
)  # fmt: skip


@dataclass(frozen=True)
class Mark:
    """A label of an axis.

    Attributes:
      at: the price, or the index of a bar.
      text: what it says.
      is_major: a day among times, a month among days: said louder.
    """

    at: float
    text: str
    is_major: bool = False


# -- prices ---------------------------------------------------------------------------


def nice_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is no less."""
    if not (math.isfinite(least) and least > 0):
        return 1.0
    power = 10.0 ** max(math.floor(math.log10(least)), -300)
    for factor in (1, 2, 5, 10):
        # a hair less is meant as much
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10 * power


def price_marks(
    span: Span, height: float, tick: Decimal, digits: int, least_px: float = 42.0
) -> list[Mark]:
    """Return the labels of a price axis, from the bottom up.

    Args:
      span: prices shown.
      height: pixels they are shown on.
      tick: price step of the market; all labels are multiples of it.
      digits: decimals that write all of its prices.
      least_px: pixels between two labels at least.
    """
    if height < least_px or not span.highest > span.lowest:
        return []
    unit = float(tick)
    if span.is_log and span.highest / span.lowest > 3:
        marks = _log_marks(span, least_px / height, unit, digits)
        if len(marks) > 1:  # an odd tick has few multiples among round prices
            return marks
    # at the top, where labels are closest on a log scale
    least = span.highest - span.price(1 - least_px / height)
    marks = _marks_by(_step_in(unit, least), span, digits)
    if len(marks) > 1:
        return marks
    step = _doubled(unit, least)
    if step > _COARSE * unit and (middle := _roundest(span, unit, digits)):
        return [middle]  # where there is room for one or two, a round one says more
    # a round step may be far larger than is needed: doubled units are closer
    return _marks_by(step, span, digits)


def _roundest(span: Span, unit: float, digits: int) -> Mark | None:
    """Return the roundest label that isn't at an edge, of equal ones the middle one."""
    step = nice_step(span.highest - span.lowest)
    while step >= unit:
        if _is_multiple(step, unit):
            off = {
                abs(span.fraction(mark.at) - 0.5): mark
                for mark in _marks_by(step, span, digits)
            }
            if off and min(off) < _MIDDLE / 2:
                return off[min(off)]
        step = nice_step(step / 2.6)  # 5, 2, 1 of a power of ten
    return None


def _marks_by(step: float, span: Span, digits: int) -> list[Mark]:
    first, last = math.ceil(span.lowest / step), math.floor(span.highest / step)
    places = _places(step, digits)
    return [Mark(i * step, written(i * step, places)) for i in range(first, last + 1)]


def _step_in(unit: float, least: float) -> float:
    """Return a round step of at least so much that is a multiple of a unit."""
    if least <= unit:
        return unit
    step = nice_step(least)
    return step if _is_multiple(step, unit) else _doubled(unit, least)


def _doubled(unit: float, least: float) -> float:
    """Return a unit doubled until it is at least so much: of quarters, of fives."""
    return unit * 2.0 ** max(math.ceil(math.log2(least / unit)), 0)


def _is_multiple(price: float, unit: float) -> bool:
    times = price / unit
    return round(times) >= 1 and abs(times - round(times)) <= 1e-9 * times


def _places(step: float, digits: int) -> int:
    """Return how many decimals write multiples of a step, at most *digits*."""
    for places in range(digits):
        if _is_multiple(step, 10.0**-places):
            return places
    return digits


def written(price: float, digits: int) -> str:
    """Return a price as text, thousands apart; never "-0"."""
    text = f"{price:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def _log_marks(span: Span, least: float, unit: float, digits: int) -> list[Mark]:
    """Return the labels of a log scale, *least* of the height apart."""
    decade = 1 / math.log10(span.highest / span.lowest)
    fits = (each for each in _FACTORS if _closest(each) * decade >= least)
    factors = next(fits, (1,))
    every = max(math.ceil(least / decade), 1)
    first = math.floor(math.log10(span.lowest))
    end = math.floor(math.log10(span.highest)) + 1
    powers = range(first - first % every, end, every)
    prices = [factor * 10.0**power for power in powers for factor in factors]
    return [
        Mark(price, written(price, _places(price, digits)))
        for price in prices
        if span.lowest <= price <= span.highest and _is_multiple(price, unit)
    ]


def _closest(factors: tuple[int, ...]) -> float:
    """Return the least distance of factors, of a power of ten's."""
    return min(math.log10(up / low) for low, up in pairwise((*factors, 10)))


# -- times ----------------------------------------------------------------------------


def time_marks(
    time_s: Ints,
    start: int,
    period_s: int,
    bar_px: float,
    zone: tzinfo = UTC,
    least_px: float = 90.0,
) -> list[Mark]:
    """Return the labels of a time axis, oldest first.

    A label stands at the first bar from a round time on, and says what is new there:
    the year, the month, the day, or else that bar's time. Of labels that would overlap
    the rounder one is kept.

    Args:
      time_s: epoch s of the bars that are shown, ascending.
      start: index of the first of them.
      period_s: bar length.
      bar_px: pixels a bar is wide.
      zone: whose clock is shown; bars of days and more are of days in UTC for all.
      least_px: pixels between two labels, but for a tenth of it.
    """
    if not len(time_s):
        return []
    if period_s >= DAY_S:
        zone = UTC
    least = least_px / bar_px
    wanted_s = least * period_s
    rows = list(islice(_rounds(time_s, wanted_s, zone), _MOST_ROUNDS + 1))
    if len(rows) > _MOST_ROUNDS:
        wanted_s = least * int(time_s[-1] - time_s[0]) / len(time_s)
        rows = list(_rounds(time_s, wanted_s, zone))
    step_s = _step_of(wanted_s)
    marks = [_time_mark(time_s, row, start, step_s, zone) for row in rows]
    # a step is as wide as labels need at the least: only closed spans bring less
    return _apart(marks, least * 0.9)


def _rounds(time_s: Ints, wanted_s: float, zone: tzinfo) -> Iterator[int]:
    """Yield the rows of the first bars from round times on."""
    step_s, months = _step_of(wanted_s), _months_of(wanted_s)
    at_s = int(time_s[0]) - 1
    while True:
        if step_s > _STEPS_S[-1]:
            round_s = _next_month(at_s, months, zone)
        elif step_s >= DAY_S:
            round_s = _next_day(at_s, int(step_s) // DAY_S, zone)
        else:
            round_s = _next_second(at_s, int(step_s), zone)
        row = int(np.searchsorted(time_s, np.int64(round_s)))
        if row >= len(time_s):
            return
        yield row
        at_s = int(time_s[row])


def _step_of(wanted_s: float) -> float:
    """Return the step between labels, seconds; that of months about."""
    for step in _STEPS_S:
        if step >= wanted_s:
            return step
    return _months_of(wanted_s) * _MONTH_S


def _months_of(wanted_s: float) -> int:
    for months in _MONTHS:
        if months * _MONTH_S >= wanted_s:
            return months
    return _MONTHS[-1]


def _next_second(after_s: int, step_s: int, zone: tzinfo) -> int:
    """Return when a clock next shows a multiple of a step since midnight."""
    at_s = after_s + step_s - _into_day(after_s, zone) % step_s
    off_s = _into_day(at_s, zone) % step_s
    # it was set meanwhile, e.g. to 3 when it was 2, which is no multiple of 2 h
    return at_s + step_s - off_s if off_s else at_s


def _into_day(at_s: int, zone: tzinfo) -> int:
    at = datetime.fromtimestamp(at_s, zone)
    return at.hour * 3600 + at.minute * 60 + at.second


def _next_day(after_s: int, days: int, zone: tzinfo) -> int:
    """Return the next midnight, of every so many days; of sevens the Mondays.

    The first of a month is one always.
    """
    day = datetime.fromtimestamp(after_s, zone).date() + timedelta(1)
    while (day.toordinal() - 1) % days and day.day != 1:
        day += timedelta(1)
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())


def _next_month(after_s: int, months: int, zone: tzinfo) -> int:
    """Return when the next month begins, of every so many since January."""
    at = datetime.fromtimestamp(after_s, zone)
    count = at.year * 12 + at.month - 1
    count += months - count % months
    return int(datetime(count // 12, count % 12 + 1, 1, tzinfo=zone).timestamp())


def _time_mark(
    time_s: Ints, row: int, start: int, step_s: float, zone: tzinfo
) -> tuple[int, Mark]:
    """Return how round a bar's time is, and its label: the coarsest that is new."""
    at_s = int(time_s[row])
    before_s = int(time_s[row - 1]) if row else at_s - 1
    now, before = (datetime.fromtimestamp(each, zone) for each in (at_s, before_s))
    index = start + row
    if now.year != before.year:
        return 3, Mark(index, f"{now:%Y}", step_s < 12 * _MONTH_S)
    if now.month != before.month:
        return 2, Mark(index, f"{now:%b}", step_s < _MONTH_S)
    if now.day != before.day:
        return 1, Mark(index, f"{now.day} {now:%b}", step_s < DAY_S)
    return 0, Mark(index, f"{now:%H:%M:%S}" if step_s < 60 else f"{now:%H:%M}")


def _apart(marks: list[tuple[int, Mark]], least: float) -> list[Mark]:
    """Return marks that are *least* indexes apart, the rounder ones first."""
    kept: list[Mark] = []
    for _, mark in sorted(marks, key=lambda each: (-each[0], each[1].at)):
        i = bisect_left(kept, mark.at, key=lambda each: each.at)
        beside = kept[max(i - 1, 0) : i + 1]
        if all(abs(mark.at - other.at) >= least for other in beside):
            kept.insert(i, mark)
    return kept
