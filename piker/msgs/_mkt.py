"""Assets and markets: what is traded, and in what steps."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import Literal

from piker.types import Struct

from ._fqme import Fqme

AssetType = Literal[
    "stock", "bond", "crypto", "fiat", "commodity", "perpetual_future",
    "crypto_future", "swap", "future", "continuous_future", "option",
    "futures_option", "index", "cfd", "mutual_fund", "warrant", "bag", "unknown",
]  # fmt: skip


class Asset(Struct, kw_only=True):
    """Something that can be held.

    Attributes:
      name: lower case, e.g. ``btc``.
      atype: its kind.
      tx_tick: smallest amount that can be moved.
    """

    name: str
    atype: AssetType = "unknown"
    tx_tick: Decimal = Decimal("0.01")


class MktPair(Struct, kw_only=True, dict=True):
    """A market: *dst* is bought and sold for *src* at one venue of one broker.

    Attributes:
      dst: what is traded.
      src: what it is paid with; ``None`` where the name leaves it out (stocks,
        futures).
      price_tick: step of prices, in quote units.
      size_tick: step of sizes, in base units.
      bs_mktid: the backend's own symbol, as its venue spells it.
      broker: backend name, lower case.
      venue: e.g. ``spot``, ``usdtm``, ``cme``; may be empty.
      expiry: ``yyyymmdd``, ``perp`` or empty.
      contract_info: further parts of the name, e.g. an option's strike ``200c``.
      multiplier: base units a contract of size 1 stands for.
      atype: kind of the market itself; *dst*'s kind unless it is a derivative.
    """

    dst: Asset
    src: Asset | None = None
    price_tick: Decimal
    size_tick: Decimal
    bs_mktid: str
    broker: str
    venue: str = ""
    expiry: str = ""
    contract_info: tuple[str, ...] = ()
    multiplier: Decimal = Decimal(1)
    atype: AssetType = "unknown"

    @cached_property
    def name(self) -> Fqme:
        """The parsed full name."""
        pair = self.dst.name + (self.src.name if self.src else "")
        return Fqme(
            pair=pair,
            venue=self.venue,
            expiry=self.expiry,
            info=self.contract_info,
            broker=self.broker,
        )

    @cached_property
    def fqme(self) -> str:
        """The full name, e.g. ``btcusdt.spot.binance``."""
        return str(self.name)

    @cached_property
    def bs_fqme(self) -> str:
        """The full name without the broker, e.g. ``btcusdt.spot``."""
        return self.name.bs_fqme

    def quantize(self, value: Decimal | float | str, step: str = "size") -> Decimal:
        """Return *value* rounded to the nearest multiple of the step, half to even.

        Args:
          value: a price or a size; a float counts as its shortest decimal.
          step: ``"size"`` or ``"price"``.
        """
        tick = self.size_tick if step == "size" else self.price_tick
        exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        steps = (exact / tick).to_integral_value(ROUND_HALF_EVEN)
        return (steps * tick).quantize(tick) if tick.as_tuple().exponent else steps * tick
