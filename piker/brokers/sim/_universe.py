"""Synthetic markets by name, and the list of them for search.

Coins and stocks stand in the catalogue. Futures and options are a rule: any quarter's
or month's third Friday is an expiry and any step of the strike grid a strike, so a
name that was good stays good; the list shows those alive at a given time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from piker.errors import SymbolNotFound
from piker.msgs import Asset, AssetType, Calendar, Fqme, MktPair

from ._catalogue import (
    FUTURE_HOURS,
    FUTURES,
    STOCK_HOURS,
    STOCKS,
    Product,
    iter_listings,
    product,
    products,
)
from ._shape import Activity, OptionTerms, Path, SimMarket

BROKER: Final = "sim"
#: The market of demos and first steps.
DEMO_FQME: Final = "btcusdt.spot.sim"
#: When the list stands if nobody says: 2026-11-23.
REFERENCE_S: Final = 1_795_392_000

_FUTURES_BY_ROOT: Final = {item.name: item for item in FUTURES}
_QUARTERS_LISTED = 4
_MONTHS_LISTED = 6
_STRIKES_LISTED = 10  # on each side of the money
_STRIKES_UP_TO = 4  # times the level
_DAY_S = 86_400
_FUTURE_LIFE_S = 730 * _DAY_S
_OPTION_LIFE_S = 365 * _DAY_S
_FUTURE_ENDS_S = 14 * 3_600 + 1_800  # on its last day, UTC
_OPTION_ENDS_S = 21 * 3_600
_YEARS = range(2000, 2101)


class Listing(NamedTuple):
    """One line of the list.

    Attributes:
      fqme: full name.
      kind: asset type of the market.
      description: a few words.
      rank: by volume, 1 is the most traded.
      base, quote: of a coin; empty of all others.
    """

    fqme: str
    kind: AssetType
    description: str
    rank: int
    base: str = ""
    quote: str = ""


@lru_cache(maxsize=1024)
def find_market(text: str) -> SimMarket:
    """Return the market of that name; short names are filled in.

    Args:
      text: e.g. ``btcusdt.spot.sim``, ``btcusdt.sim``, ``btcusdt.perp.sim``,
        ``tsla.sim``, ``es.20261218.sim``, ``tsla.20270115.200c.sim``.

    Raises:
      BadFqme: if it is no market name at all.
      SymbolNotFound: if there is no such market.
    """
    fqme = Fqme.parse(text)
    if fqme.broker != BROKER:
        raise SymbolNotFound(
            f"no market {text!r} in sim: its names end in .sim, like {DEMO_FQME}"
        )
    market = _build(fqme)
    if market is None or not _fits(fqme, market.mkt.name):
        raise SymbolNotFound(f"no market {text!r} in sim: {_advice(fqme)}")
    return market


def iter_universe(at_s: int = REFERENCE_S) -> Iterator[Listing]:
    """Yield the markets alive at *at_s* (epoch seconds), most traded first."""
    rows = chain(
        _catalogue_rows(generated=False),
        _future_rows(at_s),
        _catalogue_rows(generated=True),
        _option_rows(at_s),
    )
    for rank, (fqme, kind, text, base, quote) in enumerate(rows, 1):
        yield Listing(fqme, kind, text, rank, base, quote)


def third_friday(year: int, month: int) -> date:
    """Return the day on which monthly contracts expire."""
    first = date(year, month, 1)
    return first.replace(day=15 + (4 - first.weekday()) % 7)


# -- from a name to a market ----------------------------------------------------


def _build(fqme: Fqme) -> SimMarket | None:
    if fqme.strike:
        return _option(fqme)
    if fqme.expiry == "perp":
        return _perpetual(fqme.pair)
    if fqme.expiry:
        return _future(fqme)
    found = product(fqme.pair)
    return _cash(found) if found else None


def _fits(asked: Fqme, found: Fqme) -> bool:
    """Tell whether each part that was *asked* for is in what was *found*."""
    same_venue = asked.venue in {"", found.venue}
    return same_venue and asked.info in {(), found.info}


def _cash(item: Product) -> SimMarket:
    is_coin = bool(item.quote)
    hours = Calendar() if is_coin else STOCK_HOURS
    base: AssetType = "crypto" if is_coin else "stock"
    mkt = MktPair(
        dst=Asset(name=item.base, atype=base, tx_tick=item.size_tick),
        src=_money(item.quote) if is_coin else None,
        price_tick=item.price_tick,
        size_tick=item.size_tick,
        bs_mktid=f"{item.name}.{item.venue}",
        broker=BROKER,
        venue=item.venue,
        atype=base,
    )
    return SimMarket(
        mkt=mkt,
        path=_path(item, hours),
        activity=Activity(item.rate, item.mean_lots, item.silent),
        calendar=hours,
        description=item.description,
    )


def _perpetual(pair: str) -> SimMarket | None:
    """Return the perpetual that follows a coin, in coarser steps than spot has."""
    item = product(pair)
    if item is None or not item.has_perp:
        return None
    size_tick = min(Decimal(1), item.size_tick * 100)
    coarser = float(size_tick / item.size_tick)
    mkt = MktPair(
        dst=Asset(name=item.base, atype="crypto", tx_tick=item.size_tick),
        src=_money(item.quote),
        price_tick=item.price_tick * 10,
        size_tick=size_tick,
        bs_mktid=f"{pair}.usdtm.perp",
        broker=BROKER,
        venue="usdtm",
        expiry="perp",
        atype="perpetual_future",
    )
    return SimMarket(
        mkt=mkt,
        path=_path(item, Calendar()),
        activity=Activity(item.rate, max(1.0, item.mean_lots / coarser), item.silent),
        description=f"{item.description} perpetual",
    )


def _future(fqme: Fqme) -> SimMarket | None:
    item = _FUTURES_BY_ROOT.get(fqme.pair)
    day = fqme.expiry_date
    if item is None or day is None or day.month % 3 or not _is_expiry(day):
        return None
    ends_s = _epoch_s(day) + _FUTURE_ENDS_S
    mkt = MktPair(
        dst=Asset(name=item.base, atype="future", tx_tick=item.size_tick),
        price_tick=item.price_tick,
        size_tick=item.size_tick,
        bs_mktid=f"{item.name}.{item.venue}.{day:%Y%m%d}",
        broker=BROKER,
        venue=item.venue,
        expiry=f"{day:%Y%m%d}",
        multiplier=item.multiplier,
        atype="future",
    )
    return SimMarket(
        mkt=mkt,
        path=_path(item, FUTURE_HOURS),
        activity=Activity(item.rate, item.mean_lots),
        calendar=FUTURE_HOURS,
        listed_s=max(0, ends_s - _FUTURE_LIFE_S),
        expires_s=ends_s,
        description=f"{item.description} {day:%b %Y}",
    )


def _option(fqme: Fqme) -> SimMarket | None:
    item, day, strike = product(fqme.pair), fqme.expiry_date, fqme.strike_price
    if item is None or item.strike_step is None or strike is None or day is None:
        return None
    highest = Decimal(repr(item.price_quote)) * _STRIKES_UP_TO
    on_grid = 0 < strike <= highest and strike % item.strike_step == 0
    if not on_grid or not _is_expiry(day):
        return None
    ends_s = _epoch_s(day) + _OPTION_ENDS_S
    mkt = MktPair(
        dst=Asset(name=item.base, atype="stock", tx_tick=item.size_tick),
        price_tick=Decimal("0.01"),
        size_tick=Decimal(1),
        bs_mktid=f"{item.name}.{day:%Y%m%d}.{fqme.strike}",
        broker=BROKER,
        venue="cboe",
        expiry=f"{day:%Y%m%d}",
        contract_info=(fqme.strike,),
        multiplier=Decimal(100),
        atype="option",
    )
    return SimMarket(
        mkt=mkt,
        path=_path(item, STOCK_HOURS),
        activity=Activity(0.5, 4.0, 0.4),
        calendar=STOCK_HOURS,
        option=OptionTerms(float(strike), fqme.right == "c"),
        listed_s=max(0, ends_s - _OPTION_LIFE_S),
        expires_s=ends_s,
        description=_option_text(item.name, day, strike, is_call=fqme.right == "c"),
    )


def _path(item: Product, hours: Calendar) -> Path:
    return Path(item.name, item.price_quote, item.day_vol, calendar=hours)


def _money(name: str) -> Asset:
    is_fiat = name == "eur"
    return Asset(name=name, atype="fiat" if is_fiat else "crypto")


def _is_expiry(day: date) -> bool:
    return day.year in _YEARS and day == third_friday(day.year, day.month)


def _epoch_s(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _advice(fqme: Fqme) -> str:
    """Say what would work in place of *fqme*."""
    if fqme.pair in _FUTURES_BY_ROOT:
        return (
            "its futures expire on the third Friday of March, June, September and"
            f" December, like {fqme.pair}.cme.20261218.sim"
        )
    item = product(fqme.pair)
    if item is not None and fqme.strike and item.strike_step is not None:
        return (
            "its options expire on a month's third Friday, strikes are multiples of"
            f" {item.strike_step}, like {fqme.pair}.20270115.200c.cboe.sim"
        )
    from rapidfuzz import process

    close = process.extract(fqme.pair, products().keys(), limit=3)
    names = (product(name) for name, *_ in close)
    return "close to it: " + ", ".join(f"{n.name}.{n.venue}.sim" for n in names if n)


# -- the list -------------------------------------------------------------------

_Row = tuple[str, AssetType, str, str, str]


def _catalogue_rows(*, generated: bool) -> Iterator[_Row]:
    for name, quote, venue, text, has_perp in iter_listings(generated=generated):
        base = name.removesuffix(quote) if quote else ""
        kind: AssetType = "crypto" if quote else "stock"
        yield f"{name}.{venue}.{BROKER}", kind, text, base, quote
        if has_perp:
            fqme = f"{name}.usdtm.perp.{BROKER}"
            yield fqme, "perpetual_future", f"{text} perpetual", base, quote


def _future_rows(at_s: int) -> Iterator[_Row]:
    days = list(_expiries(at_s - _FUTURE_ENDS_S, _QUARTERS_LISTED, every_months=3))
    for item in FUTURES:
        for day in days:
            fqme = f"{item.name}.{item.venue}.{day:%Y%m%d}.{BROKER}"
            yield fqme, "future", f"{item.description} {day:%b %Y}", "", ""


def _option_rows(at_s: int) -> Iterator[_Row]:
    days = list(_expiries(at_s - _OPTION_ENDS_S, _MONTHS_LISTED, every_months=1))
    for item in STOCKS:
        if item.strike_step is None:
            continue
        middle = round(Decimal(repr(item.price_quote)) / item.strike_step)
        strikes = range(max(1, middle - _STRIKES_LISTED), middle + _STRIKES_LISTED + 1)
        for day in days:
            for steps in strikes:
                strike = steps * item.strike_step
                for right in ("c", "p"):
                    part = f"{strike.normalize():f}{right}".replace(".", "_")
                    fqme = f"{item.name}.{day:%Y%m%d}.{part}.cboe.{BROKER}"
                    text = _option_text(item.name, day, strike, is_call=right == "c")
                    yield fqme, "option", text, "", ""


def _expiries(after_s: int, count: int, every_months: int) -> Iterator[date]:
    """Yield the next *count* third Fridays whose midnight is after *after_s*."""
    now = datetime.fromtimestamp(after_s, UTC)
    year, month = now.year, now.month
    while count:
        day = third_friday(year, month)
        if month % every_months == 0 and _epoch_s(day) > after_s:
            yield day
            count -= 1
        year, month = year + month // 12, month % 12 + 1


def _option_text(name: str, day: date, strike: Decimal, *, is_call: bool) -> str:
    side = "call" if is_call else "put"
    return f"{name.upper()} {strike.normalize():f} {side} {day:%d %b %Y}"
