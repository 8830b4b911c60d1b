"""Recorded sessions of a TWS, as objects of its clients: a tape, and a past.

    [{"time", "price", "size", "tickType"}, ...]   live: told again, tick by tick
    {"date", "open", ..., "barCount"}              a minute's bar of the past
    {"time", "priceBid", "priceAsk", ...}          quotes of the past
    {"time", "price", "size", "exchange", ...}     trades of the past

They don't say of which contract they are, so each kind has a made-up share of its own:
``LIVE``, ``BARS``, ``TICKS``. Of live ticks, those of the volume make trades too, for
who asks for RTVolume: so much more at the last price.
"""

from __future__ import annotations

import gzip
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import gcd
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from piker.errors import SessionFileError
from piker.msgs import Asset, MktPair

from ._tape import LOTS, Book, Item, Market, Print, Tape
from ._tws_past import Bar, Quoted, Traded, What

_NS: Final = 1_000_000_000
_MINUTE_S: Final = 60
_DIGITS: Final = 6  # of prices, at most
#: What a tick is of, by its kind.
_SHOWS: Final = {0: "bid", 1: "bid", 2: "ask", 3: "ask", 4: "last", 5: "last"}


class Told(NamedTuple):
    """A tick as it was told.

    Attributes:
      market: whose.
      due_ns: when it passes, by the venue's clock; when it was recorded.
      time_ms: the same.
      kind: IB's number of it.
      price, size: as the client had them.
    """

    market: Market
    due_ns: int
    time_ms: int
    kind: int
    price: float
    size: float


@dataclass
class RecordedPast:
    """A past that was recorded; see `Past`."""

    minutes: list[Bar]
    traded: list[Traded]
    quoted: list[Quoted]

    def first_s(self) -> int | None:
        """See `Past`."""
        rows = (self.minutes, self.traded, self.quoted)
        return min((row[0].time_s for row in rows if row), default=None)

    def newest_s(self) -> int:
        """See `Past`; what was recorded has passed, whatever the clock says."""
        ends = [one.time_s + _MINUTE_S for one in self.minutes[-1:]]
        ends += [one.time_s + 1 for one in self.traded[-1:]]
        ends += [one.time_s + 1 for one in self.quoted[-1:]]
        return max(ends)

    def bars(self, what: What, period_s: int, start_s: int, end_s: int) -> list[Bar]:
        """See `Past`; of trades, of a minute or of whole minutes."""
        if what != "TRADES" or period_s % _MINUTE_S:
            return []
        first = bisect_left(self.minutes, start_s, key=_time_s)
        upto = bisect_left(self.minutes, end_s, key=_time_s)
        return list(_reduced(self.minutes[first:upto], period_s))

    def trades(self) -> list[Traded]:
        """See `Past`."""
        return self.traded

    def quotes(self) -> list[Quoted]:
        """See `Past`."""
        return self.quoted


class RecordedTape(Tape):
    """Live ticks to come, and the past that is there from the start.

    Attributes:
      books: that passed, made of the ticks.
      pasts: by market.
      opening: bid, ask and last price of a market before its first live tick, which
        a tick of a size alone shows; 0 where none does.
    """

    def __init__(
        self, markets: dict[str, Market], items: deque[Any], origin_ns: int,
        pasts: dict[Market, RecordedPast],
    ) -> None:  # fmt: skip
        self.books: dict[Market, list[Book]] = defaultdict(list)
        self.pasts = pasts
        self.opening: dict[Market, tuple[float, float, float]] = {}
        super().__init__(markets, items, origin_ns)

    def step(self) -> Item:
        """See `Tape`."""
        if isinstance(self.items[0], Book | Print):
            item = super().step()
            if isinstance(item, Book):
                self.books[item.market].append(item)
            return item
        told: Any = self.items.popleft()
        self.passed += 1
        self.last_ns = max(self.last_ns, told.due_ns)
        return told


def recorded_tape(paths: Iterable[Path], *, past_s: float = 0) -> RecordedTape:
    """Return the tape of files; raises SessionFileError if one can't be read.

    Args:
      paths: see the module; plain, or gzip.
      past_s: how much of the live ticks has passed before the start, seconds.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    for path in paths:
        for row in _rows(Path(path)):
            found[_kind_of(row, path)].append(row)
    pasts: dict[Market, RecordedPast] = {}
    markets: dict[str, Market] = {}
    if found["bars"]:
        prices = (row[key] for row in found["bars"] for key in ("open", "close"))
        market = _market("bars", prices)
        markets[market.mkt.fqme] = market
        pasts[market] = RecordedPast([_bar(row) for row in found["bars"]], [], [])
    if found["trades"] or found["quotes"]:
        prices = (row["price"] for row in found["trades"])
        market = _market("ticks", [*prices, *(r["priceBid"] for r in found["quotes"])])
        markets[market.mkt.fqme] = market
        trades, quotes = map(_traded, found["trades"]), map(_quoted, found["quotes"])
        pasts[market] = RecordedPast([], list(trades), list(quotes))
    items: deque[Any] = deque()
    if found["live"]:
        market = _market("live", (r["price"] for r in found["live"] if r["price"] > 0))
        markets[market.mkt.fqme] = market
        items.extend(_live(market, found["live"]))
    origin_ns = (
        items[0].due_ns if items else max(p.newest_s() for p in pasts.values()) * _NS
    )
    tape = RecordedTape(markets, items, origin_ns + int(past_s * _NS), pasts)
    if found["live"]:
        tape.opening[items[0].market] = _opening(found["live"])
    tape.take_due(tape.origin_ns - 1)
    return tape


# -- files --------------------------------------------------------------------------


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
        if text.lstrip().startswith(b"["):
            return msgspec.json.decode(text, type=list[dict[str, Any]])
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        return [decode(line) for line in text.splitlines() if line.strip()]
    except (OSError, EOFError, msgspec.MsgspecError) as error:
        raise SessionFileError(f"no session of a TWS {str(path)!r}: {error}") from error


def _kind_of(row: dict[str, Any], path: Path) -> str:
    for kind, key in (
        ("bars", "barCount"), ("quotes", "priceBid"), ("live", "tickType"),
        ("trades", "specialConditions"),
    ):  # fmt: skip
        if key in row:
            return kind
    raise SessionFileError(
        f"session {str(path)!r} holds neither bars nor ticks of a TWS: {sorted(row)}"
    )


def _market(name: str, prices: Iterable[float]) -> Market:
    """Return the market of a kind, its step the coarsest that all prices are on."""
    step = gcd(*(round(price * 10**_DIGITS) for price in prices)) or 10**4
    mkt = MktPair(
        dst=Asset(name=name, atype="stock"),
        price_tick=Decimal(step).scaleb(-_DIGITS).normalize(),
        size_tick=Decimal(1),
        bs_mktid=name.upper(),
        broker="tws",
        venue="nasdaq",
        atype="stock",
    )
    return Market(mkt, 1, 1)


def _ns(text: str) -> int:
    at = datetime.fromisoformat(text)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp()) * _NS + at.microsecond * 1000


def _bar(row: dict[str, Any]) -> Bar:
    return Bar(
        _ns(row["date"]) // _NS, row["open"], row["high"], row["low"], row["close"],
        row["volume"], row["average"], row["barCount"],
    )  # fmt: skip


def _traded(row: dict[str, Any]) -> Traded:
    return Traded(
        _ns(row["time"]) // _NS, row["price"], row["size"], row["exchange"],
        row["specialConditions"],
    )  # fmt: skip


def _quoted(row: dict[str, Any]) -> Quoted:
    return Quoted(
        _ns(row["time"]) // _NS, row["priceBid"], row["priceAsk"], row["sizeBid"],
        row["sizeAsk"],
    )  # fmt: skip


# -- live ticks ---------------------------------------------------------------------


def _live(market: Market, rows: list[dict[str, Any]]) -> Iterator[Any]:
    """Yield each tick, and the quote or the trade that it shows."""
    quote = {"bid": (0.0, 0.0), "ask": (0.0, 0.0)}
    last, volume = 0.0, 0.0
    for count, row in enumerate(rows, 1):
        due_ns, kind = _ns(row["time"]), row["tickType"]
        price, size, time_ms = row["price"], row["size"], due_ns // 1_000_000
        yield Told(market, due_ns, time_ms, kind, price, size)
        match kind:
            case 0 | 1 | 2 | 3:
                quote["bid" if kind < 2 else "ask"] = (price, size)
                yield Book(market, due_ns, time_ms, count, *quote["bid"], *quote["ask"])
            case 4 | 5:
                last = price
            case 8:
                more = size - volume
                if volume and last and more > 0:
                    side = 1 if last >= quote["ask"][0] > 0 else -1
                    lots = round(more * LOTS)
                    yield Print(
                        market, due_ns, time_ms, 0, last, side, count, count, (lots,),
                        lots,
                    )  # fmt: skip
                volume = size


def _opening(rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Return at which prices the first ticks of sizes alone stand."""
    firsts: dict[str, dict[str, Any]] = {}
    for row in rows:
        firsts.setdefault(_SHOWS.get(row["tickType"], ""), row)
    found = [firsts.get(name, {"tickType": 1}) for name in ("bid", "ask", "last")]
    told = [row["price"] if row["tickType"] in (0, 3, 5) else 0.0 for row in found]
    return told[0], told[1], told[2]


def _reduced(minutes: list[Bar], period_s: int) -> Iterator[Bar]:
    """Yield bars of a length, each of the minutes in it."""
    whole: Bar | None = None
    for one in minutes:
        at = one.time_s // period_s * period_s
        if whole is None or whole.time_s != at:
            if whole is not None:
                yield whole
            whole = one._replace(time_s=at)
            continue
        volume = whole.volume + one.volume
        worth = whole.average * whole.volume + one.average * one.volume
        whole = Bar(
            at, whole.open, max(whole.high, one.high), min(whole.low, one.low),
            one.close, volume, round(worth / volume, 6) if volume else one.average,
            whole.trades + one.trades,
        )  # fmt: skip
    if whole is not None:
        yield whole


def _time_s(one: Bar) -> int:
    return one.time_s
