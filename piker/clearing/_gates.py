"""The gates of `_risk`, one function each: a sentence says no, an empty text yes.

    what was wanted, what came, what would work

The first, `shape`, makes sure that the others meet numbers they can work with.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final, get_args

from piker.config import RiskConf
from piker.msgs import (
    NS,
    PAPER,
    Action,
    Calendar,
    ExecMode,
    MktPair,
    Order,
    OrderType,
    Tif,
)

from ._exact import is_multiple, multiply, plain, shortest, subtract
from ._expiry import market_end
from ._prices import Prices, edge_price

_OID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
#: Digits before the point, and after it, that any price or size may have.
_MAX_DIGITS: Final = 30
_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "action": get_args(Action),
    "exec_mode": get_args(ExecMode),
    "otype": get_args(OrderType),
    "tif": get_args(Tif),
}


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of an order's market and account when it is looked at.

    Attributes:
      now_ns: by the market's clock, ns since the epoch.
      mkt: the market, None if there is no such.
      calendar: its hours.
      prices: the newest.
      accounts: names that orders may be sent for.
      shut: why the account can't be used, empty if nothing is known to be wrong.
      position: of the account in the market, base units, negative of a short; None if
        it isn't known.
      filled: of the order itself so far, base units.
      open_orders: of the account, at its broker.
      wait_s: seconds until the next order may leave; 0 of a dark one that fired.
      halted: whether trading is halted by command.
    """

    now_ns: int
    mkt: MktPair | None
    calendar: Calendar = field(default_factory=Calendar)
    prices: Prices = field(default_factory=Prices)
    accounts: frozenset[str] = frozenset()
    shut: str = ""
    position: Decimal | None = Decimal(0)
    filled: Decimal = Decimal(0)
    open_orders: int = 0
    wait_s: float = 0.0
    halted: bool = False


# -- the order by itself --------------------------------------------------------------


def shape(order: Order, _known: Known, _conf: RiskConf) -> str:
    """Refuse what isn't an order at all, or contradicts itself."""
    if not _OID.fullmatch(order.oid):
        return f"an oid is 1 to 64 of A-Za-z0-9_.:-, got {_cut(order.oid)!r}"
    for name, words in _WORDS.items():
        if getattr(order, name) not in words:
            return f"{name} is {_either(words)}, got {getattr(order, name)!r}"
    for name in ("size", "price", "trigger", "trail"):
        value = getattr(order, name)
        if value is not None and not _is_sane(value):
            return (
                f"a {name} is a number of at most {_MAX_DIGITS} digits each side of the"
                f" point, got {_cut(str(value))}"
            )
    return _misfit(order)


def _misfit(order: Order) -> str:
    """Say which parts of an order don't go together, empty if all do."""
    is_alert, is_market = order.action == "alert", order.otype == "market"
    is_dark = is_alert or order.exec_mode == "dark"
    checks = (
        (is_market and is_alert, "an alert is no market order: leave otype out"),
        (is_market and order.price is not None,
         f"a market order has no price, got {_of(order.price)}: leave it out, or make"
         " it a limit order"),
        (is_market and order.post_only,
         "a market order takes, so it can't be post_only: give it a price"),
        (not is_market and order.price is None and not (is_alert and order.trigger),
         "a limit order needs a price: give one, or make it a market order"),
        (is_market and is_dark and order.trigger is None,
         "a dark market order needs a trigger: give the price at which it fires"),
        (order.is_stop and order.account == PAPER,
         "a paper account has no stops of its own, got a live order with the trigger"
         f" {_of(order.trigger)}: make it a dark one"),
        (order.is_stop and order.post_only,
         "a stop takes, so it can't be post_only: leave that out"),
        (order.is_stop and order.tif in ("ioc", "fok"),
         f"a stop waits, what is {order.tif} doesn't: leave the tif out"),
        (order.post_only and order.tif in ("ioc", "fok"),
         f"what is post_only rests, what is {order.tif} doesn't: choose one of them"),
        (is_alert and (order.post_only or order.reduce_only),
         "an alert is never sent: leave post_only and reduce_only out"),
    )  # fmt: skip
    return next((advice for is_wrong, advice in checks if is_wrong), "")


def unbuilt(order: Order, _known: Known, _conf: RiskConf) -> str:
    """Refuse what the messages have a place for and nothing does yet."""
    if order.trail is not None:
        return (
            f"trailing triggers aren't built yet, got a trail of {_of(order.trail)}:"
            " give a trigger and edit it as the price moves"
        )
    if order.group:
        return (
            "one-cancels-other groups aren't built yet, got the group"
            f" {_cut(order.group)!r}: send the orders apart and cancel the other one"
        )
    return ""


def size(order: Order, _known: Known, _conf: RiskConf) -> str:
    """Refuse a size that isn't one."""
    if order.action == "alert":
        return f"an alert has a size of 0, got {_of(order.size)}" if order.size else ""
    if order.size > 0:
        return ""
    return (
        f"a size is more than 0, got {_of(order.size)}: the action says which way,"
        " buy or sell"
    )


def tif(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse an end that is none, or has passed."""
    if order.tif != "gtd":
        if not order.expires_ns:
            return ""
        return (
            f"only a gtd order has an expires_ns, got {order.expires_ns} with"
            f" {order.tif}: leave it out"
        )
    if order.expires_ns > known.now_ns:
        return ""
    came = _at(order.expires_ns) if order.expires_ns else "none"
    return (
        f"a gtd order needs an expires_ns to come, got {came}; it is"
        f" {_at(known.now_ns)} in the market"
    )


# -- its market -----------------------------------------------------------------------


def market(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse a market that isn't there, or no more."""
    if known.mkt is None:
        return f"no market {_cut(order.symbol)!r}; `piker search` finds its name"
    broker = known.mkt.broker
    if order.brokers and broker not in order.brokers:
        return (
            f"{known.mkt.fqme} is traded at {broker}, got brokers"
            f" {', '.join(order.brokers)}: leave them out"
        )
    end_ns = market_end(known.mkt, known.calendar)
    if end_ns is not None and known.now_ns >= end_ns:
        return f"{known.mkt.fqme} expired at {_at(end_ns)}: take a later one"
    return ""


def hours(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse to send anything to a market that is closed."""
    now_s = known.now_ns // NS
    opens_s = known.calendar.next_open(now_s)
    if opens_s == now_s:
        return ""
    return (
        f"{order.symbol} is closed until {_at(opens_s * NS)}: send it then, or make it"
        " a dark one"
    )


def lot(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse a size that isn't a whole number of the market's steps."""
    assert known.mkt is not None
    return _off_step("size", order.size, known.mkt.size_tick, known.mkt)


def tick(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse a price that isn't a whole number of the market's steps, from one on."""
    assert known.mkt is not None
    for name, value in (("price", order.price), ("trigger", order.trigger)):
        if value is None:
            continue
        if value <= 0:
            return f"a {name} is more than 0, got {_of(value)}"
        reason = _off_step(name, value, known.mkt.step_at(value), known.mkt)
        if reason:
            return reason
    return ""


def stop(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse a stop that would fire as it comes."""
    if not order.is_stop:
        return ""
    assert order.action != "alert"
    assert order.trigger is not None
    now = known.prices.now(order.action)
    is_buy = order.action == "buy"
    if now is None or (order.trigger > now if is_buy else order.trigger < now):
        return ""
    way = "above" if is_buy else "below"
    return (
        f"a live {order.action} with a trigger is a stop, which waits {way} the price"
        f" now, {_of(now)}, got {_of(order.trigger)}: make it a dark one"
    )


def limits(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse a size that the market's venue takes no order of."""
    mkt = known.mkt
    assert mkt is not None
    assert order.action != "alert"
    if order.size < mkt.size_min:
        return _of_size(mkt, f"{plain(mkt.size_min)} at least", order.size)
    if mkt.size_max and order.size > mkt.size_max:
        return _of_size(mkt, f"{plain(mkt.size_max)} at most", order.size)
    price = order.price or order.trigger or known.prices.now(order.action)
    if price is None or multiply(order.size, price) >= mkt.cost_min:
        return ""
    least = math.ceil(
        Fraction(mkt.cost_min) / Fraction(price) / Fraction(mkt.size_tick)
    )
    unit = f" {mkt.src.name}" if mkt.src else ""
    return (
        f"an order in {mkt.fqme} is worth {plain(mkt.cost_min)}{unit} at least, got"
        f" {_of(order.size)} at {_of(price)}, {_of(multiply(order.size, price))}:"
        f" {plain(multiply(Decimal(least), mkt.size_tick))} would do"
    )


def _of_size(mkt: MktPair, limit: str, size: Decimal) -> str:
    return f"an order in {mkt.fqme} has a size of {limit}, got {_of(size)}"


def _off_step(name: str, value: Decimal, step: Decimal, mkt: MktPair) -> str:
    if is_multiple(value, step):
        return ""
    whole = math.floor(Fraction(value) / Fraction(step))
    near = [multiply(Decimal(each), step) for each in (whole, whole + 1) if each]
    there = " there" if name != "size" and mkt.price_steps else ""
    return (
        f"a {name} in {mkt.fqme} is a multiple of {plain(step)}{there}, got"
        f" {_of(value)}:"
        f" {' or '.join(map(plain, near))} would do"
    )


# -- its account and its limits -------------------------------------------------------


def account(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse an account that isn't there."""
    if order.account in known.accounts:
        return _of_another_broker(order, known)
    if known.shut:
        return f"{order.account} can't be used: {known.shut}"
    there = ", ".join(sorted(known.accounts)) or "none"
    return f"no account {_cut(order.account)!r}; there is: {there}"


def _of_another_broker(order: Order, known: Known) -> str:
    broker = order.account.partition(".")[0]
    if known.mkt is None or order.account == PAPER or broker == known.mkt.broker:
        return ""
    return (
        f"{known.mkt.fqme} is traded at {known.mkt.broker}, the account"
        f" {_cut(order.account)!r} is at {broker}: take one of {known.mkt.broker}'s"
    )


def halt(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse all but what makes a position smaller while trading is halted."""
    if not known.halted or (order.reduce_only and order.exec_mode == "live"):
        return ""
    return (
        "trading is halted: only live orders that are reduce_only are taken until"
        " `piker resume`"
    )


def max_size(order: Order, _known: Known, conf: RiskConf) -> str:
    """Refuse a size that somebody must have mistyped."""
    if not conf.max_size or order.size <= shortest(conf.max_size):
        return ""
    return (
        f"an order has a size of {_shown(conf.max_size)} at most, got"
        f" {_of(order.size)}; risk.max_size sets it"
    )


def max_notional(order: Order, known: Known, conf: RiskConf) -> str:
    """Refuse to put more than so much into one order."""
    assert known.mkt is not None
    if not conf.max_notional:
        return ""
    price = _worst_price(order, known)
    if price is None:
        return (
            f"no price of {known.mkt.fqme} is known yet, so nobody can say what"
            f" {_of(order.size)} are worth; try again once it has quoted"
        )
    units = multiply(order.size, known.mkt.multiplier)
    worth = units if known.mkt.is_inverse else multiply(units, price)
    if worth <= shortest(conf.max_notional):
        return ""
    return (
        f"an order is worth {_shown(conf.max_notional)} at most, got {_of(order.size)}"
        f" at {_of(price)}, {_of(worth)}; risk.max_notional sets it"
    )


def _worst_price(order: Order, known: Known) -> Decimal | None:
    """Return the most that an order may pay, or its worth now if that is more."""
    assert order.action != "alert"
    told = [order.price, order.trigger if order.price is None else None]
    if order.price is None or order.action == "sell":
        told.append(known.prices.now(order.action))
    return max((each for each in told if each is not None), default=None)


def price_band(order: Order, known: Known, conf: RiskConf) -> str:
    """Refuse a limit that would pay far more than the market asks, or take far less."""
    assert order.action != "alert"
    assert known.mkt is not None
    if not conf.price_band_pct or order.price is None:
        return ""
    # a stop's limit counts once its trigger is the price
    now = order.trigger if order.is_stop else known.prices.now(order.action)
    if now is None:
        return (
            f"no price of {order.symbol} is known yet, so nobody can say whether"
            f" {_of(order.price)} is near it; try again once it has quoted"
        )
    edge = edge_price(order.action, now, conf.price_band_pct, known.mkt)
    is_buy = order.action == "buy"
    if order.price <= edge if is_buy else order.price >= edge:
        return ""
    way, other = ("above", "below") if is_buy else ("below", "above")
    return (
        f"a {order.action} is limited to {_shown(conf.price_band_pct)}% {way} the price"
        f" now, {_of(now)}, got {_of(order.price)}: {_of(edge)} or {other} would do;"
        " risk.price_band_pct sets it"
    )


def reduce_only(order: Order, known: Known, _conf: RiskConf) -> str:
    """Refuse what would open or flip a position that was only to be made smaller."""
    if not order.reduce_only:
        return ""
    if known.position is None:
        return (
            f"what {_cut(order.account)} holds of {order.symbol} isn't known yet, so"
            " nobody can say what reduces it: try again in a moment"
        )
    held, rest = reducible(order, known.position), subtract(order.size, known.filled)
    if rest <= held:
        return ""
    would = (
        f"at most {plain(held)} would do" if held else "there is nothing to take off"
    )
    return (
        f"a {order.action} of {_of(rest)} that is reduce_only has a position of"
        f" {plain(known.position)} before it: {would}"
    )


def reducible(order: Order, position: Decimal) -> Decimal:
    """Return how much of a *position* an order could take off, 0 if nothing."""
    return max(position if order.action == "sell" else -position, Decimal(0))


def max_open_orders(_order: Order, known: Known, conf: RiskConf) -> str:
    """Refuse one more order than somebody can have meant to have."""
    if not conf.max_open_orders or known.open_orders < conf.max_open_orders:
        return ""
    return (
        f"an account has {conf.max_open_orders} open orders at most, this one has"
        f" {known.open_orders}: cancel some; risk.max_open_orders sets it"
    )


def rate(_order: Order, known: Known, conf: RiskConf) -> str:
    """Refuse what comes too fast."""
    if known.wait_s <= 0:
        return ""
    return (
        f"{_shown(conf.max_orders_per_s)} orders a second may leave, this one came too"
        f" soon: wait {known.wait_s:.3f} s; risk.max_orders_per_s sets it"
    )


# -- words ----------------------------------------------------------------------------


def _is_sane(value: Decimal) -> bool:
    """Tell whether exact arithmetic with *value* is cheap."""
    if not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "it is finite"
    return exponent >= -_MAX_DIGITS and value.adjusted() < _MAX_DIGITS


def _of(value: Decimal | None) -> str:
    return "none" if value is None else plain(value)


def _shown(limit: float) -> str:
    return plain(shortest(limit))


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _at(time_ns: int) -> str:
    """Return a time as people write it, UTC."""
    try:
        at = datetime.fromtimestamp(time_ns // NS, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_ns} ns"
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
