"""What Deribit's get_instruments lists, as markets of ours: names, steps, terms.

Prices of most options have coarser steps from some price on (``tick_size_steps``).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final

import msgspec
from msgspec import Raw

from piker.brokers._payload import bad_payload, one_line
from piker.brokers._symbol_file import Listed
from piker.errors import BadFqme
from piker.msgs import Asset, AssetType, Fqme, MktPair, PriceStep

from ._answers import decode_result
from ._names import FIAT, KINDS, alias_of, expiry_of
from ._schemas import Instrument

_INSTRUMENTS: Final = msgspec.json.Decoder(list[Instrument])
_INSTRUMENT: Final = msgspec.json.Decoder(Instrument)
_BAD: Final = (BadFqme, ValueError, ArithmeticError)


def parse_instruments(body: bytes) -> tuple[list[Listed], int]:
    """Return the markets that an answer lists, and how many were left out.

    ``bs_mktid`` is the venue's own name. Left out are combos, and what has no name, or
    no steps.

    Raises:
      BadPayload: if it is no such answer.
    """
    told = decode_result(_INSTRUMENTS, body)
    listed: dict[str, Listed] = {}
    for one in told:
        found = _listed(one)
        if found is not None:
            listed.setdefault(found.mkt.fqme, found)
    return list(listed.values()), len(told) - len(listed)


def parse_instrument(body: bytes) -> Listed:
    """Return the market of an answer of get_instrument; BadPayload."""
    found = _listed(decode_result(_INSTRUMENT, body))
    if found is None:
        raise bad_payload("deribit", body, "an instrument that has no name here")
    return found


def _listed(told: Instrument) -> Listed | None:
    if told.kind not in KINDS:
        return None
    try:
        mkt = _mkt(told)
        alias = str(Fqme.parse(alias_of(told.instrument_name)))
    except _BAD:
        return None
    trading = told.is_active and told.state == "open"
    return Listed(
        mkt=mkt,
        trading=trading,
        description=one_line(_describe(told, mkt) + ("" if trading else ", closed")),
        aliases=() if alias == mkt.fqme else (alias,),
    )


def _mkt(told: Instrument) -> MktPair:
    contract, least = _number(told.contract_size), _number(told.min_trade_amount)
    size_tick = min(contract, least)
    return MktPair(
        dst=_asset(told.base_currency, size_tick),
        src=_asset(told.quote_currency) if _is_priced_in_other(told) else None,
        price_tick=_number(told.tick_size),
        price_steps=_price_steps(told),
        size_tick=size_tick,
        bs_mktid=told.instrument_name,
        broker="deribit",
        venue="spot" if told.kind == "spot" else "",
        expiry=expiry_of(told.instrument_name, told.kind, told.expiration_timestamp),
        contract_info=_strike(told),
        atype=_atype(told),
        size_min=least,
        settle=_settle(told),
    )


def _is_priced_in_other(told: Instrument) -> bool:
    """Whether prices are in something else than what is traded."""
    return told.quote_currency != told.base_currency


def _settle(told: Instrument) -> str:
    """Return what profits and fees are paid in, where that isn't the quote currency."""
    if told.kind == "spot":
        return ""
    # lists of old don't tell it: then coins settle what is priced in coins or in USD
    settle = told.settlement_currency or (
        told.base_currency if told.quote_currency in FIAT else told.quote_currency
    )
    is_quote = settle == told.quote_currency and _is_priced_in_other(told)
    return "" if is_quote else settle.lower()


def _asset(name: str, tx_tick: Decimal = Decimal("1e-8")) -> Asset:
    kind: AssetType = "fiat" if name in FIAT else "crypto"
    return Asset(name=name.lower(), atype=kind, tx_tick=tx_tick)


def _price_steps(told: Instrument) -> tuple[PriceStep, ...]:
    """Return the coarser steps of prices; those that aren't coarser say nothing."""
    steps = [
        PriceStep(at_least=_number(step.above_price), tick=_number(step.tick_size))
        for step in told.tick_size_steps
    ]
    return tuple(sorted(steps, key=lambda step: step.at_least))


def _strike(told: Instrument) -> tuple[str, ...]:
    if told.kind != "option":
        return ()
    if told.option_type == "call":
        return (Fqme.strike_part(_number(told.strike), "c"),)
    if told.option_type == "put":
        return (Fqme.strike_part(_number(told.strike), "p"),)
    raise ValueError(f"an option that is no call and no put: {told.option_type!r}")


def _atype(told: Instrument) -> AssetType:
    if told.kind == "spot":
        return "fiat" if told.base_currency in FIAT else "crypto"
    if told.kind == "option":
        return "option"
    perpetual = told.instrument_name.endswith("-PERPETUAL")
    return "perpetual_future" if perpetual else "crypto_future"


def _number(raw: Raw) -> Decimal:
    """Return a JSON number as it is written; ValueError if it isn't above 0."""
    try:
        number = Decimal(bytes(raw).decode())
    except InvalidOperation:
        number = Decimal(0)
    if not number.is_finite() or not 0 < number < Decimal("1e15"):
        raise ValueError(f"no step or strike: {bytes(raw)[:40]!r}")
    return number.normalize()


def _describe(told: Instrument, mkt: MktPair) -> str:
    base, quote = told.base_currency, told.quote_currency
    if told.kind == "spot":
        return f"{base}/{quote} spot"
    kind = "inverse " if mkt.is_inverse else ""
    if told.kind == "option":
        strike = mkt.name.strike_price
        return f"{base} {told.option_type} at {strike:f}, {mkt.expiry}, in {quote}"
    when = "perpetual" if mkt.expiry == "perp" else f"future, {mkt.expiry}"
    return f"{base}/{quote} {kind}{when}"
