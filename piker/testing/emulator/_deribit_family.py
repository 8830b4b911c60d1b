"""The instruments that the emulated Deribit lists of a market of the tape.

    btcusdt.usdtm.perp.sim --> BTC-PERPETUAL; futures, a chain of options; BTC_USDC-...
    solusdt.usdtm.perp.sim --> SOL_USDC-PERPETUAL, some options
    btcusdt.spot.sim       --> BTC_USDT, and BTC-PERPETUAL with what hangs on it

By https://docs.deribit.com/#naming: what expires when, and what it is called.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from ._deribit_names import NEVER_MS, Instrument
from ._listing import Listed

_DAY_MS: Final = 86_400_000
_AHEAD: Final = timedelta(hours=26)  # so that nothing expires while a test runs
_STRIKES: Final = 10  # on each side of the money
#: Of inverse contracts: tick of a price, dollars of a contract, least coins of an
#: option.
_INVERSE: Final = {
    "BTC": (Decimal("0.5"), Decimal(10), Decimal("0.1")),
    "ETH": (Decimal("0.05"), Decimal(1), Decimal(1)),
}
#: Of makers in weekly futures, of options: .../25944746248989-Fees.
_REBATE: Final = Decimal("-0.0001")
_INVERSE_FEE: Final = Decimal("0.0003")
_LINEAR_FEES: Final = (Decimal("0.0001"), Decimal("0.0005"))
_OPTION_TICK: Final = Decimal("0.0001")
_OPTION_STEP: Final = (Decimal("0.005"), Decimal("0.0005"))  # above which price, tick


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
                    maker=_REBATE if period == "week" else model.maker,
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
            least=least, maker=_INVERSE_FEE if is_inverse else _LINEAR_FEES[0],
            taker=_INVERSE_FEE if is_inverse else _LINEAR_FEES[1],
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
