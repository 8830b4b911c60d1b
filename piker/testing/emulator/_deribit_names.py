"""An instrument as Deribit lists it.

By https://docs.deribit.com/#naming and
https://docs.deribit.com/api-reference/market-data/public-get_instruments. Inverse ones
are priced in dollars and settled in the coin, their amounts are dollars; options on
them are priced in the coin; linear ones are settled in USDC, their amounts are coins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Literal

from piker.msgs import Asset, MktPair

Kind = Literal["future", "option", "spot"]

NEVER_MS: Final = 32_503_708_800_000


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
                     "max_non_default_leverage": 5}  # fmt: skip
        if self.kind == "option":
            told["max_leverage"] = 1
        if self.kind != "spot":
            told["max_liquidation_commission"] = 0.0075
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
