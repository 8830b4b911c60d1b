"""What a recorded stream of Deribit gives away about itself: its markets, their steps.

The steps show in the decimals; those of sizes too, as far as they have any.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from piker.msgs import Asset, AssetType, Fqme, MktPair

from ._names import FIAT, NAME

_MAX_DECIMALS: Final = 12


class _Params(msgspec.Struct, frozen=True):
    channel: str
    data: Any


class _Frame(msgspec.Struct, frozen=True):
    method: str
    params: _Params


_FRAME: Final = msgspec.json.Decoder(_Frame, float_hook=Decimal)
_PRICES: Final = {
    "trades": ("price",),
    "quote": ("best_bid_price", "best_ask_price"),
    "ticker": ("best_bid_price", "best_ask_price"),
}
_SIZES: Final = {
    "trades": ("amount",),
    "quote": ("best_bid_amount", "best_ask_amount"),
    "ticker": ("best_bid_amount", "best_ask_amount"),
}


@dataclass
class Evidence:
    """What frames have shown so far.

    Attributes:
      votes: frames that only this venue sends, by ``deribit`` and ``deribit.spot``.
      steps: the most decimals that prices and sizes of each instrument have.
    """

    votes: Counter[str] = field(default_factory=Counter)
    steps: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, payload: bytes) -> None:
        """Look at one frame; what is no frame of the venue shows nothing."""
        try:
            params = _FRAME.decode(payload).params
        except (msgspec.MsgspecError, ValueError, RecursionError, ArithmeticError):
            return
        kind = params.channel.partition(".")[0]
        if kind not in _PRICES:
            return
        rows = params.data if isinstance(params.data, list) else [params.data]
        for told in rows:
            symbol = told.get("instrument_name") if isinstance(told, dict) else None
            if isinstance(symbol, str) and NAME.fullmatch(symbol):
                self._note(kind, symbol, told)

    def _note(self, kind: str, symbol: str, told: dict[str, Any]) -> None:
        self.votes["deribit" if "-" in symbol else "deribit.spot"] += 1
        price, size = self.steps.get(symbol, (0, 0))
        prices = [_decimals(told.get(name)) for name in _PRICES[kind]]
        sizes = [_decimals(told.get(name)) for name in _SIZES[kind]]
        self.steps[symbol] = max(price, *prices), max(size, *sizes)

    def mkts(self, venue: str) -> dict[str, MktPair]:
        """Return the markets of a venue, by instrument; BadFqme, ValueError."""
        return {
            symbol: make_mkt(symbol, *(Decimal(1).scaleb(-n) for n in decimals))
            for symbol, decimals in self.steps.items()
            if ("-" in symbol) == (venue == "deribit")
        }


def make_mkt(symbol: str, price_tick: Decimal, size_tick: Decimal) -> MktPair:
    """Return the market of an instrument by its name; ValueError if it can't be one."""
    parts = NAME.fullmatch(symbol)
    if parts is None:
        raise ValueError(f"no instrument of deribit: {symbol!r}")
    told = parts.groupdict()
    base, quote, strike = told["base"], told["quote"], told["strike"]
    src, settle, info = quote, "", tuple[str, ...]()
    if not quote:
        settle = base.lower()
        src = None if strike else "USD"
    if strike:
        right: Any = told["right"].lower()
        info = (Fqme.strike_part(Decimal(strike.replace("d", ".")), right),)
    return MktPair(
        dst=_asset(base),
        src=_asset(src) if src else None,
        price_tick=price_tick,
        size_tick=size_tick,
        bs_mktid=symbol,
        broker="deribit",
        venue="" if "-" in symbol else "spot",
        expiry="perp" if told["perp"] else _day(told["day"]),
        contract_info=info,
        atype=_atype(told),
        settle=settle,
    )


def _asset(name: str) -> Asset:
    kind: AssetType = "fiat" if name in FIAT else "crypto"
    return Asset(name=name.lower(), atype=kind)


def _day(text: str | None) -> str:
    """Return ``20261225`` of ``25DEC26``, nothing of nothing; ValueError."""
    if not text:
        return ""
    return f"{datetime.strptime(text.zfill(7), '%d%b%y'):%Y%m%d}"  # noqa: DTZ007


def _atype(told: dict[str, str | None]) -> AssetType:
    if told["strike"]:
        return "option"
    if told["perp"]:
        return "perpetual_future"
    return "crypto_future" if told["day"] else "crypto"


def _decimals(number: Any) -> int:
    """Return the decimals of a number: 1 of ``36500.10``, 0 of whole and odd ones."""
    if not isinstance(number, Decimal) or not number.is_finite():
        return 0
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    return -exponent if -_MAX_DECIMALS <= exponent < 0 else 0
