"""The instruments that the emulated Deribit lists.

    btcusdt.usdtm.perp.sim --> BTC-PERPETUAL; futures, a chain of options; BTC_USDC-...
    solusdt.usdtm.perp.sim --> SOL_USDC-PERPETUAL, some options
    btcusdt.spot.sim       --> BTC_USDT, and BTC-PERPETUAL with what hangs on it

By https://docs.deribit.com/#naming and
https://docs.deribit.com/api-reference/market-data/public-get_instruments. Inverse ones
are priced in dollars and settled in the coin, their amounts are dollars; options on
them are priced in the coin; linear ones are settled in USDC, their amounts are coins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from piker.msgs import Asset, MktPair

from ._listing import Listed

Kind = Literal["future", "option", "spot"]

_DAY_MS: Final = 86_400_000
_AHEAD: Final = timedelta(hours=26)  # so that nothing expires while a test runs
NEVER_MS: Final = 32_503_708_800_000
_STRIKES: Final = 10  # on each side of the money
#: Of inverse contracts: tick of a price, dollars of a contract, least coins of an
#: option.
_INVERSE: Final = {
    "BTC": (Decimal("0.5"), Decimal(10), Decimal("0.1")),
    "ETH": (Decimal("0.05"), Decimal(1), Decimal(1)),
}
_OPTION_TICK: Final = Decimal("0.0001")
_OPTION_STEP: Final = (Decimal("0.005"), Decimal("0.0005"))  # above which price, tick


@dataclass(frozen=True)
class Instrument:
    """One line of the list.

    Attributes:
      name: of the venue, e.g. ``BTC-27DEC24-100000-C``.
      number: of the venue.
      kind: see `Kind`.
      base, quote, counter: assets; *quote* is what its price is told in.
      settlement: asset in which it is paid; empty of spot.
      period: ``day``, ``week``, ``month``, ``perpetual``; empty of spot.
      expires_ms: epoch.
      created_ms: likewise.
      tick: of prices.
      steps: larger ticks, and above which price they are.
      contract: size of one, in units of amounts.
      least: amount of an order; amounts are multiples of it.
      strike: quote units of the index, None if it is no option.
      right: ``C``, ``P`` or empty.
      maker, taker: rates of fees.
      is_inverse: see the module.
    """

    name: str
    number: int
    kind: Kind
    base: str
    quote: str
    counter: str
    settlement: str
    period: str
    expires_ms: int
    created_ms: int
    tick: Decimal
    contract: Decimal
    least: Decimal
    steps: tuple[tuple[Decimal, Decimal], ...] = ()
    strike: Decimal | None = None
    right: str = ""
    maker: Decimal = Decimal(0)
    taker: Decimal = Decimal("0.0005")
    is_inverse: bool = False

    @property
    def index(self) -> str:
        """Name of the price index, e.g. ``btc_usd``."""
        return f"{self.base}_{self.counter}".lower()

    @property
    def currency(self) -> str:
        """What it is listed under."""
        return self.settlement or self.quote

    @property
    def is_perpetual(self) -> bool:
        """Whether it never expires, but is settled each day."""
        return self.period == "perpetual"

    @property
    def counts_dollars(self) -> bool:
        """Whether amounts are in counter units, not in base units."""
        return self.is_inverse and self.kind == "future"

    def tick_at(self, price: Decimal) -> Decimal:
        """Return the step of prices there."""
        found = self.tick
        for above, tick in self.steps:
            if price >= above:
                found = tick
        return found

    def row(self, *, is_active: bool) -> dict[str, Any]:
        """Return it as get_instruments tells it."""
        told: dict[str, Any] = {
            "instrument_name": self.name, "instrument_id": self.number,
            "kind": self.kind, "base_currency": self.base,
            "quote_currency": self.quote, "counter_currency": self.counter,
            "price_index": self.index, "is_active": is_active,
            "state": "open" if is_active else "closed",
            "instrument_type": "reversed" if self.is_inverse else "linear",
            "expiration_timestamp": self.expires_ms,
            "creation_timestamp": self.created_ms,
            "tick_size": float(self.tick), "contract_size": float(self.contract),
            "min_trade_amount": float(self.least),
            "tick_size_steps": [
                {"above_price": float(above), "tick_size": float(tick)}
                for above, tick in self.steps
            ],
            "maker_commission": float(self.maker),
            "taker_commission": float(self.taker),
            "block_trade_commission": float(self.taker / 2),
            "block_trade_min_trade_amount": float(self.least * 1000),
            "block_trade_tick_size": float(self.tick / 10),
            "rfq": False,
        }  # fmt: skip
        if self.settlement:
            told |= {"settlement_currency": self.settlement,
                     "settlement_period": self.period}  # fmt: skip
        if self.kind == "future":
            told |= {"future_type": told["instrument_type"], "max_leverage": 50,
                     "max_liquidation_commission": 0.0075}  # fmt: skip
        if self.strike is not None:
            is_call = self.right == "C"
            told |= {"strike": float(self.strike),
                     "option_type": "call" if is_call else "put"}  # fmt: skip
        return told

    def mkt(self) -> MktPair:
        """Return it as the tape names markets."""
        day = datetime.fromtimestamp(self.expires_ms / 1000, UTC)
        expiry = "perp" if self.is_perpetual else f"{day:%Y%m%d}"
        return MktPair(
            dst=Asset(name=self.base.lower()), src=Asset(name=self.counter.lower()),
            price_tick=self.tick, size_tick=Decimal("1e-8"), bs_mktid=self.name,
            broker="deribit", venue="emulated",
            expiry="" if self.kind == "spot" else expiry,
            contract_info=(self._terms(),) if self.strike is not None else (),
        )  # fmt: skip

    def _terms(self) -> str:
        return f"{self.strike:f}{self.right.lower()}".replace(".", "_")


@dataclass
class Family:
    """What is listed of one market of the tape.

    Attributes:
      direct: those whose trades are all of the tape's.
      derived: those that follow it, each with its share of the tape's prints.
    """

    direct: list[Instrument] = field(default_factory=list)
    derived: list[tuple[Instrument, int]] = field(default_factory=list)


class Namer:
    """Makes instruments, as of a time; each has a number.

    Args:
      now_ms: epoch, when the list is made.
    """

    def __init__(self, now_ms: int) -> None:
        self._now = datetime.fromtimestamp(now_ms / 1000, UTC)
        self._now_ms = now_ms
        self._number = 100_000

    def family(self, listed: Listed, level: float, *, has_perp: bool) -> Family:
        """Return what is listed of a market whose price is about *level*.

        Args:
          listed: the market.
          level: quote units.
          has_perp: of a spot market: its perpetual is on the tape too.
        """
        found = Family()
        assert listed.market is not None, "it is on the tape"
        if listed.market.mkt.expiry != "perp":
            found.direct.append(self._spot(listed))
        if has_perp:
            return found
        if listed.base in _INVERSE:
            found.direct.append(self._inverse(listed.base))
            found.derived += self._futures(listed.base)
            found.derived += self._options(found.direct[-1], level)
            # a market of the same coin that is settled in dollars
            found.derived.append((self.linear(listed), 8))
        else:
            found.direct.append(self.linear(listed))
            found.derived += self._options(found.direct[-1], level, few=True)
        return found

    def linear(self, listed: Listed) -> Instrument:
        """Return a perpetual that is settled in USDC."""
        return Instrument(
            f"{listed.base}_USDC-PERPETUAL", self._next(), "future", listed.base,
            "USDC", "USDC", "USDC", "perpetual", NEVER_MS, self._since(900),
            listed.price_tick, listed.size_tick, listed.size_tick,
        )  # fmt: skip

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _since(self, days: int) -> int:
        return self._now_ms // 1000 * 1000 - days * _DAY_MS

    def _spot(self, listed: Listed) -> Instrument:
        zero = Decimal(0)
        return Instrument(
            f"{listed.base}_{listed.quote}", self._next(), "spot", listed.base,
            listed.quote, listed.quote, "", "", NEVER_MS, self._since(700),
            listed.price_tick, listed.size_tick, listed.size_tick, maker=zero,
            taker=zero,
        )  # fmt: skip

    def _inverse(self, base: str) -> Instrument:
        tick, contract, _ = _INVERSE[base]
        return Instrument(
            f"{base}-PERPETUAL", self._next(), "future", base, "USD", "USD", base,
            "perpetual", NEVER_MS, self._since(2000), tick, contract, contract,
            is_inverse=True,
        )  # fmt: skip

    def _futures(self, base: str) -> list[tuple[Instrument, int]]:
        model = self._inverse(base)
        return [
            (
                replace(
                    model, name=f"{base}-{_date(day)}", number=self._next(),
                    period=period, expires_ms=int(day.timestamp() * 1000),
                    created_ms=self._since(60),
                ),
                6,
            )
            for day, period in self.expiries()
        ]  # fmt: skip

    def _options(
        self, perpetual: Instrument, level: float, *, few: bool = False
    ) -> list[tuple[Instrument, int]]:
        days = self.expiries()
        grid = [(days[1], 2)] if few else [(days[0], 1), (days[2], 2), (days[-1], 5)]
        reach = 2 if few else _STRIKES
        found = []
        for (day, period), wide in grid:
            step = _nice(level * 0.02) * wide
            middle = round(Decimal(repr(level)) / step)
            for nth in range(middle - reach, middle + reach + 1):
                if nth > 0:
                    found += [
                        (self._option(perpetual, day, period, nth * step, right), 1)
                        for right in "CP"
                    ]
        return found

    def _option(
        self, of: Instrument, day: datetime, period: str, strike: Decimal, right: str
    ) -> Instrument:
        text = f"{strike.normalize():f}".replace(".", "d")
        root = of.base if of.is_inverse else f"{of.base}_{of.counter}"
        is_inverse = of.is_inverse
        least = _INVERSE[of.base][2] if is_inverse else Decimal(1)
        tick = _OPTION_TICK if is_inverse else of.tick
        return replace(
            of, name=f"{root}-{_date(day)}-{text}-{right}", number=self._next(),
            kind="option", period=period, expires_ms=int(day.timestamp() * 1000),
            created_ms=self._since(20), strike=strike, right=right,
            quote=of.base if is_inverse else of.counter, tick=tick,
            steps=(_OPTION_STEP,) if is_inverse else (), contract=Decimal(1),
            least=least, maker=Decimal("0.0003"), taker=Decimal("0.0003"),
        )  # fmt: skip

    def expiries(self) -> list[tuple[datetime, str]]:
        """Return days at 8:00 UTC on which contracts end, with their periods."""
        first = _at_eight(self._now + _AHEAD)
        found = {first: "day"}
        week = _friday(first + timedelta(days=2))
        found.setdefault(week, "week")
        after = week + timedelta(days=1)
        for months in ((), (3, 6, 9, 12), (3, 6, 9, 12)):
            end = _month_end(after, months)
            found.setdefault(end, "month")
            after = end + timedelta(days=1)
        return list(found.items())


def _at_eight(at: datetime) -> datetime:
    eight = at.replace(hour=8, minute=0, second=0, microsecond=0)
    return eight if eight >= at else eight + timedelta(days=1)


def _friday(at: datetime) -> datetime:
    return at + timedelta(days=(4 - at.weekday()) % 7)


def _month_end(after: datetime, months: tuple[int, ...]) -> datetime:
    """Return the last Friday of a month, one of *months* if there are any."""
    day = _friday(after)
    while (day + timedelta(days=7)).month == day.month or (
        months and day.month not in months
    ):
        day += timedelta(days=7)
    return day


def _date(day: datetime) -> str:
    return f"{day.day}{day:%b%y}".upper()


def _nice(width: float) -> Decimal:
    """Return the largest of 1, 2, 5, 10, 20 ... that isn't above *width*."""
    power = math.floor(math.log10(width))
    whole = max(one for one in (1, 2, 5) if one * 10.0**power <= width * 1.0000001)
    return Decimal(whole).scaleb(power)
