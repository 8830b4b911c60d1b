"""What Binance's exchangeInfo lists, as markets of ours.

``BTCUSDT``         spot       --> ``btcusdt.spot.binance``
``BTCUSDT``         perpetual  --> ``btcusdt.usdtm.perp.binance``
``BTCUSDT_261225``  delivery   --> ``btcusdt.usdtm.20261225.binance``
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

import msgspec

from piker.brokers._payload import decode, one_line
from piker.brokers._symbol_file import Listed
from piker.errors import BadFqme
from piker.msgs import Asset, AssetType, MktPair

from ._rest_schemas import ExchangeInfo, Market
from ._sniff import FIAT, Venue

_INFO: Final = msgspec.json.Decoder(ExchangeInfo, strict=False)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TRADING: Final = "TRADING"


def parse_exchange_info(body: bytes, venue: Venue) -> tuple[list[Listed], int]:
    """Return the markets that an exchangeInfo body lists, and how many were left out.

    A market is left out that has no name of ours (its symbol isn't ASCII, two would
    share a name), no steps, or no contract type yet.

    Args:
      body: of the venue's exchangeInfo.
      venue: whose it is.

    Raises:
      BadPayload: if it is none.
    """
    info = decode(_INFO, "binance", body)
    listed: dict[str, Listed] = {}
    for market in info.symbols:
        one = _listed(market, venue)
        if one is not None:
            listed.setdefault(one.mkt.fqme, one)
    return list(listed.values()), len(info.symbols) - len(listed)


def _listed(market: Market, venue: Venue) -> Listed | None:
    expiry = _expiry(market) if venue == "usdtm" else ""
    if expiry is None:
        return None
    try:
        mkt = _mkt(market, venue, expiry)
    except (BadFqme, ValueError, ArithmeticError):
        return None
    return Listed(
        mkt=mkt,
        trading=market.status == _TRADING,
        description=one_line(_describe(market, venue, expiry)),
    )


def _mkt(market: Market, venue: Venue, expiry: str) -> MktPair:
    price_tick = size_tick = Decimal(0)
    size_min = size_max = cost_min = Decimal(0)
    for rule in market.filters:
        if rule.filter_type == "PRICE_FILTER":
            price_tick = rule.tick_size
        elif rule.filter_type == "LOT_SIZE":
            size_tick, size_min, size_max = rule.step_size, rule.min_qty, rule.max_qty
        elif rule.filter_type in ("NOTIONAL", "MIN_NOTIONAL"):
            cost_min = rule.min_notional or rule.notional
    return MktPair(
        dst=_asset(market.base_asset, size_tick),
        src=_asset(market.quote_asset, Decimal("1e-8")),
        price_tick=price_tick.normalize(),
        size_tick=size_tick.normalize(),
        bs_mktid=market.symbol,
        broker="binance",
        venue=venue,
        expiry=expiry,
        atype=_atype(venue, expiry),
        size_min=size_min.normalize(),
        size_max=size_max.normalize(),
        cost_min=cost_min.normalize(),
    )


def _asset(name: str, tx_tick: Decimal) -> Asset:
    kind: AssetType = "fiat" if name in FIAT else "crypto"
    return Asset(name=name.lower(), atype=kind, tx_tick=tx_tick.normalize())


def _atype(venue: Venue, expiry: str) -> AssetType:
    if venue == "spot":
        return "crypto"
    return "perpetual_future" if expiry == "perp" else "crypto_future"


def _expiry(market: Market) -> str | None:
    """Return ``perp``, a date, or None of a contract that isn't one yet."""
    if "PERPETUAL" in market.contract_type:
        return "perp"
    if not market.contract_type or not market.delivery_date:
        return None
    try:
        day = _EPOCH + timedelta(milliseconds=market.delivery_date)
    except OverflowError:
        return None
    return f"{day:%Y%m%d}"


def _describe(market: Market, venue: Venue, expiry: str) -> str:
    kind = {"": venue, "perp": "perpetual"}.get(expiry, f"delivered {expiry}")
    status = "" if market.status == _TRADING else f", {market.status.lower()}"
    return f"{market.base_asset}/{market.quote_asset} {kind}{status}"
