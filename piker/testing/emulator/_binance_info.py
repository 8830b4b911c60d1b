"""Binance's exchangeInfo: limits, markets and their steps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ._listing import decimals

if TYPE_CHECKING:
    from ._binance import Kind, Symbol

#: The venue's stamp for "never", of perpetual contracts.
_NEVER_MS: Final = 4_133_404_800_000
_ORDERS: Final = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT"]


def exchange_info(
    kind: Kind, symbols: list[Symbol], now_ms: int, budget: int
) -> dict[str, Any]:
    """Return the answer for *symbols*."""
    listed = _spot if kind == "spot" else _future
    info: dict[str, Any] = {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, budget),
            _limit("ORDERS", "SECOND", 10, 100 if kind == "spot" else 300),
        ],
        "exchangeFilters": [],
        "symbols": [listed(symbol) for symbol in symbols],
    }
    if kind == "spot":
        info["rateLimits"].append(_limit("RAW_REQUESTS", "MINUTE", 5, 61000))
    else:
        info |= {"futuresType": "U_MARGINED", "assets": []}
    return info


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
    }


def _filters(symbol: Symbol, notional: dict[str, Any]) -> list[dict[str, Any]]:
    price, size = symbol.listed.price_tick, symbol.listed.size_tick
    digits, lots = symbol.price_digits, symbol.size_digits
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": f"{price:.{digits}f}",
            "maxPrice": f"{1_000_000:.{digits}f}",
            "tickSize": f"{price:.{digits}f}",
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": f"{size:.{lots}f}",
            "maxQty": f"{9000:.{lots}f}",
            "stepSize": f"{size:.{lots}f}",
        },
        {"filterType": "MIN_NOTIONAL", **notional},
    ]


def _spot(symbol: Symbol) -> dict[str, Any]:
    one = symbol.listed
    notional = {"minNotional": "5.00000000", "applyToMarket": True, "avgPriceMins": 5}
    return {
        "symbol": symbol.name,
        "status": "TRADING",
        "baseAsset": one.base,
        "baseAssetPrecision": 8,
        "quoteAsset": one.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": _ORDERS,
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(symbol, notional),
        "permissions": ["SPOT"],
    }


def _future(symbol: Symbol) -> dict[str, Any]:
    one = symbol.listed
    delivery_ms = _NEVER_MS
    if one.delivery:
        day = datetime.strptime(one.delivery[-6:], "%y%m%d").replace(tzinfo=UTC, hour=8)
        delivery_ms = int(day.timestamp()) * 1000
    return {
        "symbol": symbol.name,
        "pair": f"{one.base}{one.quote}",
        "contractType": "CURRENT_QUARTER" if one.delivery else "PERPETUAL",
        "deliveryDate": delivery_ms,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "baseAsset": one.base,
        "quoteAsset": one.quote,
        "marginAsset": one.quote,
        "pricePrecision": symbol.price_digits,
        "quantityPrecision": decimals(one.size_tick),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(symbol, {"notional": "5"}),
        "orderTypes": ["LIMIT", "MARKET", "STOP", "TAKE_PROFIT"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
