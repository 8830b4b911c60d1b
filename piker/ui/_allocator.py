"""How large the next order is: a limit in so many slots, as the order pane shows it.

    limit / slots --next_size(price, position, open orders)--> size | why it is 0

Nothing is rounded but the size itself, down to the market's step, once. Pure: it knows
no order and no window, only numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final, Literal, get_args

from piker.errors import UsageError
from piker.msgs import PAPER, BrokerdPosition, MktPair, Side

Unit = Literal["units", "currency"]
#: Quote assets that are written as $; a market that names none is shown so too.
DOLLARS: Final = frozenset(
    ("usd", "usdt", "usdc", "busd", "fdusd", "tusd", "usdd", "usde", "dai")
)
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)
#: How the order pane writes them.
UNIT_NAMES: Final[dict[Unit, str]] = {"units": "# units", "currency": "$ size"}
MAX_SLOTS: Final = 100

_AMOUNT: Final = re.compile(r"(\d+\.?\d*|\.\d+)\s*([kmb]?)", re.ASCII | re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 3, "m": 6, "b": 9}
_SUFFIXES: Final = ((9, "B"), (6, "M"), (3, "k"))
#: As many digits as emsd takes, each side of the point.
_MAX_DIGITS: Final = 30
_MAX_TEXT: Final = 40
_FOUR_DIGITS: Final = Context(prec=4)
#: Step of a limit in currency that was made of one in units.
_CURRENCY_STEP: Final = Decimal("1E-8")


@dataclass(frozen=True, kw_only=True)
class Allocator:
    """What the order pane is set to.

    ValueError if a number can't be meant.

    Attributes:
      account: that orders are for.
      unit: of the limit: base units, or quote units of what they cost.
      limit: most that is held either way, > 0.
      slots: orders that it takes to hold that, 1 to `MAX_SLOTS`.
    """

    account: str = PAPER
    unit: Unit = "currency"
    limit: Decimal = Decimal(6000)
    slots: int = 6

    def __post_init__(self) -> None:
        if not self.limit.is_finite() or self.limit <= 0:
            raise ValueError(f"a limit is a number > 0, got {self.limit}")
        if not 1 <= self.slots <= MAX_SLOTS:
            raise ValueError(f"slots are 1 to {MAX_SLOTS}, got {self.slots}")

    @property
    def slot(self) -> Fraction:
        """What one slot is, in *unit*."""
        return Fraction(self.limit) / self.slots


def default_for(mkt: MktPair) -> Allocator:
    """Return what the pane begins with in a market.

    A limit in money is meant in dollars: where another asset is paid with, it begins
    with the smallest orders there are.
    """
    if mkt.src is None or mkt.src.name in DOLLARS:
        return Allocator()
    slots = Allocator().slots
    up, _, exponent = _parts(mkt.size_tick)
    return Allocator(unit="units", limit=Decimal(f"{up * slots}E{exponent}"))


def unit_name(unit: Unit, mkt: MktPair) -> str:
    """Return how the order pane of a market writes a unit: with what is paid there."""
    if unit == "units" or mkt.src is None or mkt.src.name in DOLLARS:
        return UNIT_NAMES[unit]
    return f"{mkt.src.name} size"


@dataclass(frozen=True)
class Lot:
    """So much at a price.

    Attributes:
      size: base units; of a position negative of a short.
      price: quote units; of a position its mean entry price; 0 if flat.
    """

    size: Decimal = Decimal(0)
    price: Decimal = Decimal(0)


FLAT: Final = Lot()


def lot_of(position: BrokerdPosition | None) -> Lot:
    """Return what a position holds; nothing if there is none."""
    return FLAT if position is None else Lot(position.size, position.avg_price)


def is_closing(side: Side, held: Lot) -> bool:
    """Tell whether an order takes from what is held."""
    return held.size < 0 if side == "buy" else held.size > 0


# -- the next order ------------------------------------------------------------------


@dataclass(frozen=True)
class NextSize:
    """The size of an order.

    Attributes:
      size: base units, a multiple of the market's step; 0: there can be none.
      closes: it takes from what is held.
      why: it is 0, one sentence.
    """

    size: Decimal
    closes: bool
    why: str = ""


def next_size(
    alloc: Allocator,
    mkt: MktPair,
    side: Side,
    price: Decimal,
    held: Lot,
    working: Sequence[Lot] = (),
) -> NextSize:
    """Return how large the next order is: a slot, or what is left of the limit.

    What is left is taken whole if it is less than one and a half slots. With a position
    it takes the same slots to close it, and it is never flipped: nothing is opened the
    other way until it is flat. One beyond the limit is closed in larger slots.

    Args:
      alloc: what the pane is set to.
      mkt: the market.
      side: which way.
      price: limit of the order, quote units.
      held: position.
      working: open orders the same way, which are held or closed once filled.
    """
    closes = is_closing(side, held)
    if price <= 0 and alloc.unit == "currency":
        return NextSize(
            Decimal(0), closes, f"a price is more than 0, got {plain(price)}"
        )
    if closes:
        return _to_close(alloc, mkt, price, held, working)
    a_unit = worth(alloc.unit, mkt, Lot(Decimal(1), price))
    used = _sum_of(alloc.unit, mkt, (held, *working))
    left = max(Fraction(alloc.limit) - used, Fraction(0)) / a_unit
    slot = alloc.slot / a_unit
    ticks = _portion(_ticks(left, mkt), _ticks(slot, mkt))
    if ticks:
        return NextSize(_size(ticks, mkt), closes=False)
    return NextSize(Decimal(0), closes=False, why=_why_none(alloc, mkt, left, slot))


def _to_close(
    alloc: Allocator, mkt: MktPair, price: Decimal, held: Lot, working: Sequence[Lot]
) -> NextSize:
    size = abs(Fraction(held.size))
    # By what it cost, not by the price now: it took that many slots to open it.
    cost = held.price if held.price > 0 else price
    a_unit = worth(alloc.unit, mkt, Lot(Decimal(1), cost))
    slot = max(alloc.slot / a_unit, size / alloc.slots)
    left = size - _sum_of("units", mkt, working)
    ticks = _portion(max(_ticks(left, mkt), 0), max(_ticks(slot, mkt), 1))
    if ticks:
        return NextSize(_size(ticks, mkt), closes=True)
    if working:
        why = (
            f"open orders close all of the position, {plain(held.size)}, already:"
            " cancel one of them first"
        )
    else:
        why = (
            f"the position, {plain(held.size)}, is smaller than the smallest order in"
            f" {mkt.fqme}, {plain(mkt.size_tick)}"
        )
    return NextSize(Decimal(0), closes=True, why=why)


def _portion(left: int, slot: int) -> int:
    """Return how much of *left* an order takes; all counted in ticks.

    So no dust is left: what the last slot would leave is less than half of one.
    """
    return left if 2 * (left - slot) < slot else slot


def _why_none(alloc: Allocator, mkt: MktPair, left: Fraction, slot: Fraction) -> str:
    tick = plain(mkt.size_tick)
    limit = _shown(alloc.limit, alloc.unit)
    if slot < Fraction(mkt.size_tick):
        return (
            f"a slot of {limit} / {alloc.slots} buys less than the smallest order in"
            f" {mkt.fqme}, {tick}: raise the limit, or take fewer slots"
        )
    rest = "" if not left else f" but for less than the smallest order, {tick}"
    return (
        f"the limit of {limit} is used up, by what is held and open orders{rest}:"
        " raise it, or cancel some"
    )


def worth(unit: Unit, mkt: MktPair, lot: Lot) -> Fraction:
    """Return how much of a limit in *unit* a lot takes, whichever way it is."""
    if unit == "units":
        return abs(Fraction(lot.size))
    return abs(mkt.worth(lot.size, lot.price))


def _sum_of(unit: Unit, mkt: MktPair, lots: Iterable[Lot]) -> Fraction:
    return sum((worth(unit, mkt, lot) for lot in lots), Fraction(0))


def _ticks(size: Fraction, mkt: MktPair) -> int:
    """Return the whole number of size steps in *size*."""
    return math.floor(size / Fraction(mkt.size_tick))


def _size(ticks: int, mkt: MktPair) -> Decimal:
    """Return the exact decimal of so many size steps."""
    # The constructor is exact; arithmetic would round to the thread's precision.
    up, _, exponent = _parts(mkt.size_tick)
    return mkt.quantize(Decimal(f"{up * ticks}E{exponent}"))


def _parts(value: Decimal) -> tuple[int, bool, int]:
    """Return a finite decimal's (coefficient, is negative, exponent of ten)."""
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "it is finite"
    return int("".join(map(str, digits))), bool(sign), exponent


def floored(size: Fraction, mkt: MktPair) -> Decimal:
    """Return a size, >= 0, rounded down to the market's step."""
    return _size(_ticks(size, mkt), mkt)


# -- what the pane shows -------------------------------------------------------------


@dataclass(frozen=True)
class FillBar:
    """How full the limit is.

    Attributes:
      slots: boxes there are.
      full: of them that are filled.
      part: of the next one that is filled, 0 to 1.
      is_over: more is held than the limit.
    """

    slots: int
    full: int
    part: float
    is_over: bool


def slots_used(alloc: Allocator, mkt: MktPair, held: Lot) -> Fraction:
    """Return how many slots a position takes; more than there are if it is too big."""
    return worth(alloc.unit, mkt, held) / alloc.slot


def fill_bar(alloc: Allocator, mkt: MktPair, held: Lot) -> FillBar:
    """Return how full the limit is."""
    used = slots_used(alloc, mkt, held)
    if used >= alloc.slots:
        return FillBar(alloc.slots, alloc.slots, 0.0, used > alloc.slots)
    full = math.floor(used)
    return FillBar(alloc.slots, full, float(used - full), is_over=False)


def slots_text(used: Fraction) -> str:
    """Return slots as the position's marker has them: ``:2.5x``."""
    tenths = round(used * 10)
    if used and not tenths:
        return ":<0.1x"
    return f":{plain(Decimal(tenths).scaleb(-1))}x"


# -- what is typed -------------------------------------------------------------------


def parse_amount(text: str, what: str = "limit") -> Decimal:
    """Return a number above 0 that was typed, with k, M or B for 10^3, 10^6, 10^9.

    Args:
      text: as typed.
      what: it is, for the error.

    Raises: UsageError: it isn't one.
    """
    found = _AMOUNT.fullmatch(text.strip()) if len(text) <= _MAX_TEXT else None
    if found is not None:
        number, suffix = found.groups()
        amount = Decimal(f"{number}E{_POWERS[suffix.lower()]}")
        is_sane = _parts(amount)[2] >= -_MAX_DIGITS and amount.adjusted() < _MAX_DIGITS
        if amount and is_sane:
            return amount
    raise UsageError(
        f"a {what} is a number above 0, with k, M or B behind it if you like, got"
        f" {_cut(text)!r}: 2500 or 2.5k would do"
    )


def parse_slots(text: str) -> int:
    """Return a number of slots that was typed; UsageError if it is none."""
    word = text.strip()
    if word.isascii() and word.isdigit() and len(word) <= _MAX_TEXT:
        slots = int(word)
        if 1 <= slots <= MAX_SLOTS:
            return slots
    raise UsageError(
        f"slots are a whole number from 1 to {MAX_SLOTS}, got {_cut(text)!r}: 4 would"
        " do"
    )


def with_unit(
    alloc: Allocator, mkt: MktPair, unit: Unit, price: Decimal | None
) -> Allocator:
    """Return *alloc* in another unit, the limit worth what it was, or a bit less.

    A limit of 6000 that stood for money never comes to stand for units.

    Args:
      alloc: as it was.
      mkt: the market.
      unit: wanted.
      price: now, quote units; None if none is known.

    Raises: UsageError: no price is known, or nothing would be left of the limit.
    """
    if unit == alloc.unit:
        return alloc
    if price is None or price <= 0:
        raise UsageError(
            f"no price of {mkt.fqme} is known yet, so the limit can't be told in"
            f" {unit}: try again once it has quoted"
        )
    a_unit = worth("currency", mkt, Lot(Decimal(1), price))
    if unit == "units":
        limit = floored(Fraction(alloc.limit) / a_unit, mkt)
    else:
        steps = math.floor(Fraction(alloc.limit) * a_unit / Fraction(_CURRENCY_STEP))
        limit = Decimal(f"{steps}E{_parts(_CURRENCY_STEP)[2]}")
    if limit <= 0:
        raise UsageError(
            f"a limit of {_shown(alloc.limit, alloc.unit)} is nothing in"
            f" {unit} of {mkt.fqme}: raise it first"
        )
    return replace(alloc, unit=unit, limit=limit)


# -- numbers as they are shown -------------------------------------------------------


def plain(value: Decimal) -> str:
    """Return *value* without an exponent and without zeros at its end."""
    if not value.is_finite() or abs(value.adjusted()) > _MAX_TEXT:
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def compact(value: Decimal | Fraction) -> str:
    """Return a number to four digits, with k, M or B: ``1.235M``."""
    ratio = Fraction(value)
    # rounded first, as 999.96 is 1k
    number = _FOUR_DIGITS.divide(Decimal(ratio.numerator), Decimal(ratio.denominator))
    for power, suffix in _SUFFIXES:
        if number and number.adjusted() >= power:
            return plain(number.scaleb(-power)) + suffix
    return plain(number)


def _shown(limit: Decimal, unit: Unit) -> str:
    return f"{plain(limit)} {'units' if unit == 'units' else 'of currency'}"


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
