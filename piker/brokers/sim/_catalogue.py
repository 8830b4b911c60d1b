"""What the synthetic world lists: some markets written down, the rest generated.

Names and levels are invented, also those of markets whose tickers look familiar: no
price here was ever seen at a venue. A generated name is a function of its number, so
the whole list costs little more than its strings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from typing import Final

from piker.msgs import Calendar

_DAY_S = 86_400
_HOUR_S = 3_600

#: Stock exchanges and options on stocks: 14:30-21:00 UTC, Monday to Friday.
STOCK_HOURS: Final = Calendar(
    weekly=tuple(
        (day * _DAY_S + 14 * _HOUR_S + 1_800, day * _DAY_S + 21 * _HOUR_S)
        for day in range(5)
    )
)
#: Futures: Sunday 23:00 to Friday 22:00 UTC, closed from 22:00 to 23:00 each day.
FUTURE_HOURS: Final = Calendar(
    weekly=(
        (0, 22 * _HOUR_S),
        *((day * _DAY_S - _HOUR_S, day * _DAY_S + 22 * _HOUR_S) for day in range(1, 5)),
        (7 * _DAY_S - _HOUR_S, 7 * _DAY_S),
    )
)


@dataclass(frozen=True)
class Product:
    """Something traded at one place or more.

    Attributes:
      name: the pair, the ticker or the root, lower case.
      base: what is bought; the name itself but for pairs.
      quote: what it is paid with; empty if the name leaves it out.
      venue: where, e.g. ``spot``, ``nasdaq``, ``cme``.
      price_quote: the level its price hovers around.
      price_tick: step of prices.
      size_tick: step of sizes.
      day_vol: deviation of a day's log return.
      rate: trades a second.
      mean_lots: mean trade in size ticks.
      silent: share of minutes without a trade.
      multiplier: base units of one contract.
      strike_step: distance of option strikes; None if it has no options.
      has_perp: whether a perpetual follows it.
      description: a few words.
    """

    name: str
    base: str
    quote: str
    venue: str
    price_quote: float
    price_tick: Decimal
    size_tick: Decimal
    day_vol: float
    rate: float
    mean_lots: float
    silent: float = 0.0
    multiplier: Decimal = Decimal(1)
    strike_step: Decimal | None = None
    has_perp: bool = False
    description: str = ""


def _coin(
    base: str, quote: str, price: float, tick: str, lot: str, rate: float, mean: float
) -> Product:
    return Product(
        name=base + quote,
        base=base,
        quote=quote,
        venue="spot",
        price_quote=price,
        price_tick=Decimal(tick),
        size_tick=Decimal(lot),
        day_vol=0.028,
        rate=rate,
        mean_lots=mean,
        has_perp=quote == "usdt",
        description=f"{base.upper()} / {quote.upper()}",
    )


COINS: Final = (
    _coin("btc", "usdt", 61_000.0, "0.01", "0.00001", 5.0, 1_200.0),
    _coin("eth", "usdt", 2_700.0, "0.01", "0.0001", 4.0, 2_400.0),
    _coin("sol", "usdt", 150.0, "0.01", "0.001", 2.5, 6_000.0),
    _coin("xrp", "usdt", 0.6, "0.0001", "1", 2.0, 900.0),
    _coin("doge", "usdt", 0.12, "0.00001", "1", 1.5, 4_000.0),
    _coin("ada", "usdt", 0.4, "0.0001", "0.1", 1.0, 9_000.0),
    _coin("ltc", "usdt", 70.0, "0.01", "0.001", 0.8, 3_000.0),
    _coin("link", "usdt", 11.0, "0.001", "0.01", 0.8, 3_000.0),
    _coin("dot", "usdt", 5.0, "0.001", "0.01", 0.6, 6_000.0),
    _coin("avax", "usdt", 25.0, "0.01", "0.01", 0.6, 1_500.0),
    _coin("btc", "eur", 56_000.0, "0.01", "0.00001", 1.0, 700.0),
    _coin("eth", "eur", 2_500.0, "0.01", "0.0001", 0.8, 900.0),
    _coin("eth", "btc", 0.044, "0.00001", "0.0001", 0.8, 1_500.0),
)


def _stock(ticker: str, venue: str, price: float, step: str | None) -> Product:
    return Product(
        name=ticker,
        base=ticker,
        quote="",
        venue=venue,
        price_quote=price,
        price_tick=Decimal("0.01"),
        size_tick=Decimal(1),
        day_vol=0.025,
        rate=3.0,
        mean_lots=90.0,
        strike_step=Decimal(step) if step else None,
        description=f"{ticker.upper()} common stock",
    )


STOCKS: Final = (
    _stock("tsla", "nasdaq", 250.0, "5"),
    _stock("aapl", "nasdaq", 200.0, "5"),
    _stock("nvda", "nasdaq", 120.0, "5"),
    _stock("spy", "nyse", 540.0, "10"),
    _stock("ko", "nyse", 62.0, "2.5"),
    _stock("gme", "nyse", 22.0, None),
)


def _future(
    root: str, price: float, tick: str, multiplier: str, rate: float, text: str
) -> Product:
    return Product(
        name=root,
        base=root,
        quote="",
        venue="cme",
        price_quote=price,
        price_tick=Decimal(tick),
        size_tick=Decimal(1),
        day_vol=0.012,
        rate=rate,
        mean_lots=3.0,
        multiplier=Decimal(multiplier),
        description=text,
    )


FUTURES: Final = (
    _future("es", 5_400.0, "0.25", "50", 4.0, "large-cap index future"),
    _future("nq", 19_000.0, "0.25", "20", 4.0, "technology index future"),
    _future("mes", 5_400.0, "0.25", "5", 3.0, "large-cap index, micro"),
    _future("mnq", 19_000.0, "0.25", "2", 3.0, "technology index, micro"),
    _future("cl", 76.0, "0.01", "1000", 3.0, "crude oil future"),
    _future("gc", 2_400.0, "0.1", "100", 2.0, "gold future"),
    _future("6e", 1.09, "0.00005", "125000", 2.0, "euro future"),
    _future("zn", 112.0, "0.015625", "1000", 2.0, "ten-year note future"),
)

_GENERATED_COINS = 3_000
_GENERATED_STOCKS = 15_000
_TICKER_CHARS = 5  # of a generated stock; generated pairs are longer
_PERP_COINS = 500  # of the generated ones
_CONSONANTS = "bcdfghjklmnprstvwxyz"
_VOWELS = "aeiou"
_TRADES = (
    "Mining", "Robotics", "Foods", "Energy", "Shipping", "Biotech", "Software",
    "Steel", "Media", "Rail", "Optics", "Paper", "Insurance", "Motors", "Water",
)  # fmt: skip


_WRITTEN: Final = {item.name: item for item in (*COINS, *STOCKS)}


@cache
def products() -> dict[str, Product | int]:
    """Return all but futures by name, most traded first.

    A generated one stands as its number in its series; :func:`product` makes it.
    """
    table: dict[str, Product | int] = dict(_WRITTEN)
    for number in range(_GENERATED_COINS):
        table.setdefault(f"{_word(number * 7_919, 4)}usdt", number)
    for number in range(_GENERATED_STOCKS):
        table.setdefault(_word(number * 104_729, _TICKER_CHARS), number)
    return table


def product(name: str) -> Product | None:
    """Return the coin pair or stock of that name, None if there is none."""
    found = _WRITTEN.get(name) or products().get(name)
    if not isinstance(found, int):
        return found
    return (
        _generated_coin(name, found)
        if len(name) > _TICKER_CHARS
        else _generated_stock(name, found)
    )


def iter_listings(*, generated: bool) -> Iterator[tuple[str, str, str, str, bool]]:
    """Yield name, quote, venue, description, has-a-perpetual of products, by rank.

    Args:
      generated: the generated ones, not those written down.
    """
    for name, entry in products().items():
        if isinstance(entry, Product):
            if not generated:
                text = entry.description
                yield name, entry.quote, entry.venue, text, entry.has_perp
        elif not generated:
            return
        elif len(name) > _TICKER_CHARS:
            yield name, "usdt", "spot", _coin_text(name), entry < _PERP_COINS
        else:
            yield name, "", _stock_venue(entry), _stock_text(name, entry), False


def _word(number: int, letters: int) -> str:
    """Return *number* written in consonants and vowels by turns."""
    word = ""
    for place in range(letters):
        alphabet = _VOWELS if place % 2 else _CONSONANTS
        number, digit = divmod(number, len(alphabet))
        word += alphabet[digit]
    return word


def _coin_text(name: str) -> str:
    return f"{name[:4].upper()} / USDT"


def _stock_text(name: str, number: int) -> str:
    return f"{name.title()} {_TRADES[number % len(_TRADES)]}"


def _stock_venue(number: int) -> str:
    return "nyse" if number % 3 else "nasdaq"


def _dice(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=4).digest()


def _generated_coin(name: str, number: int) -> Product:
    size, first, second, _ = _dice(name)
    scale = size % 6 - 3  # levels from 0.001 to 1,000
    mantissa = Decimal(100 + (first * 256 + second) % 900).scaleb(-2)
    return Product(
        name=name,
        base=name[:4],
        quote="usdt",
        venue="spot",
        price_quote=float(mantissa.scaleb(scale)),
        price_tick=Decimal(1).scaleb(scale - 4),
        size_tick=Decimal(1).scaleb(min(0, -scale - 1)),
        day_vol=0.045,
        rate=0.5,
        mean_lots=300.0,
        silent=0.1 if number < _PERP_COINS else 0.5,
        has_perp=number < _PERP_COINS,
        description=_coin_text(name),
    )


def _generated_stock(name: str, number: int) -> Product:
    first, second, third, _ = _dice(name)
    return Product(
        name=name,
        base=name,
        quote="",
        venue=_stock_venue(number),
        price_quote=5.0 + first + second / 256,
        price_tick=Decimal("0.01"),
        size_tick=Decimal(1),
        day_vol=0.015 + third / 10_000,
        rate=0.5,
        mean_lots=60.0,
        silent=0.2,
        description=_stock_text(name, number),
    )
