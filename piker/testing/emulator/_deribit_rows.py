"""What the emulated Deribit tells of an instrument: trades, tickers, books.

By https://docs.deribit.com/api-reference/market-data/{public-ticker,
public-get_order_book,public-get_last_trades_by_instrument} and
https://docs.deribit.com/subscriptions/.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from ._deribit_math import greeks, smile
from ._deribit_series import Deal, Quotes, Series

_DAY_MS: Final = 86_400_000


def trade_id(series: Series, tid: int) -> str:
    """Return the venue's id of a trade: numbers, with the currency but for BTC."""
    currency = series.inst.currency
    return str(tid) if currency == "BTC" else f"{currency}-{tid}"


def trade_row(series: Series, deal: Deal) -> dict[str, Any]:
    """Return a trade as all are told of it."""
    if deal.tid in series.rows:
        return series.rows[deal.tid]
    inst = series.inst
    side = "buy" if deal.side > 0 else "sell"
    told = {
        "trade_seq": deal.seq, "trade_id": trade_id(series, deal.tid),
        "timestamp": deal.time_ms, "tick_direction": deal.turn, "price": deal.price,
        "mark_price": series.mark(deal.index_price, deal.time_ms),
        "instrument_name": inst.name,
        "index_price": deal.index_price, "direction": side,
        "contracts": contracts(series, deal.amount), "amount": deal.amount,
    }  # fmt: skip
    if inst.kind == "option":
        iv = series.iv_of(deal.price, deal.index_price, deal.time_ms)
        told["iv"] = round(iv * 100, 2)
    return told


def contracts(series: Series, amount: float) -> float:
    """Return an amount in contracts."""
    return round(amount / float(series.inst.contract), 8)


def ticker(series: Series, now_ms: int) -> dict[str, Any]:
    """Return what the ticker channel tells."""
    if series.told is not None:
        return series.told
    inst, quotes = series.inst, series.quotes()
    index = series.index_now()
    time_ms = quotes.time_ms if quotes else now_ms
    mark = series.mark(index, time_ms) if index else 0.0
    told: dict[str, Any] = {
        "timestamp": time_ms, "state": "open" if series.is_active else "closed",
        "stats": stats(series, now_ms), "instrument_name": inst.name,
        "last_price": series.deals[-1].price if series.deals else None,
        "index_price": index, "mark_price": mark,
        "min_price": _limit(series, mark, 0.985),
        "max_price": _limit(series, mark, 1.015),
        "open_interest": series.interest, "estimated_delivery_price": index,
    } | best(quotes)  # fmt: skip
    if inst.kind != "spot":
        told["settlement_price"] = series.settled or mark
    if series.closed_at is not None:
        told["delivery_price"] = series.closed_at
    if inst.is_perpetual:
        told |= {"current_funding": 0.0, "funding_8h": 0.00000655,
                 "interest_value": 0.0028213400122472977}  # fmt: skip
    if inst.kind == "option" and index:
        told |= _option(series, quotes, index, time_ms)
    return told


def best(quotes: Quotes | None) -> dict[str, Any]:
    """Return the best of both sides, as the quote channel tells them."""
    if quotes is None:
        return {"best_bid_price": 0.0, "best_bid_amount": 0.0, "best_ask_price": 0.0,
                "best_ask_amount": 0.0}  # fmt: skip
    return {
        "best_bid_price": quotes.bid, "best_bid_amount": quotes.bid_amount,
        "best_ask_price": quotes.ask, "best_ask_amount": quotes.ask_amount,
    }  # fmt: skip


def _limit(series: Series, mark: float, share: float) -> float:
    tick = float(series.inst.tick)
    return max(tick, round(round(mark * share / tick) * tick, 8))


def _option(
    series: Series, quotes: Quotes | None, index: float, time_ms: int
) -> dict[str, Any]:
    terms = series.terms(index, time_ms)
    sigma = smile(terms.forward, terms.strike)
    changes = greeks(terms, sigma)
    told: dict[str, Any] = {
        "mark_iv": round(sigma * 100, 2), "interest_rate": 0.0,
        "underlying_price": round(terms.forward, 4),
        "underlying_index": "SYN." + series.inst.name.rsplit("-", 2)[0],
        "greeks": {
            "delta": round(changes.delta, 5), "gamma": round(changes.gamma, 5),
            "vega": round(changes.vega, 5), "theta": round(changes.theta, 5),
            "rho": round(changes.rho, 5),
        },
        "bid_iv": 0.0, "ask_iv": 0.0,
    }  # fmt: skip
    for side in ("bid", "ask"):
        price = getattr(quotes, side) if quotes else 0.0
        if price:
            iv = series.iv_of(price, index, time_ms)
            told[f"{side}_iv"] = round(iv * 100, 2)
    return told


def stats(series: Series, now_ms: int) -> dict[str, Any]:
    """Return what passed in the last 24 hours; nulls where nothing did."""
    deals = series.deals
    first = bisect_left(deals, now_ms - _DAY_MS, key=lambda deal: deal.time_ms)
    market = series.market
    if first == len(deals):
        return {"volume": 0.0, "price_change": None, "low": None, "high": None}
    if first == 0:  # the usual: all there is
        low, high, lots = market.low, market.high, market.lots
        notional = market.notional
    else:
        some = market.prints[first:]
        low = min(one.price for one in some)
        high = max(one.price for one in some)
        lots = sum(one.size for one in some)
        notional = sum(one.price * one.size for one in some) / 1e8
    change = (deals[-1].price / deals[first].price - 1) * 100
    volume = lots / 1e8
    told = {"volume": volume, "price_change": round(change, 4), "low": low,
            "high": high}  # fmt: skip
    if series.inst.kind == "option":
        return told | {"volume_usd": round(notional * series.index_now(), 2)}
    return told | {"volume_usd": round(notional, 2),
                   "volume_notional": round(notional, 2)}  # fmt: skip


def order_book(series: Series, depth: int, now_ms: int) -> dict[str, Any]:
    """Return the book with what the ticker tells."""
    bids, asks = series.levels(depth)
    quotes = series.quotes()
    return ticker(series, now_ms) | {
        "change_id": quotes.update_id if quotes else 0,
        "bids": [list(one) for one in list(bids.items())[:depth]],
        "asks": [list(one) for one in list(asks.items())[:depth]],
    }
