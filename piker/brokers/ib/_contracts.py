"""What IB tells of a contract, as a market of ours; pure.

ContractDetails, rule of prices --make_mkt()--> MktPair
details of one name's candidates --pick()--> the one that is meant

``bs_mktid`` is the ``conId``: one number for a contract wherever it is traded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from ib_async import Contract, ContractDetails, PriceIncrement
from msgspec.structs import replace

from piker.errors import BadFqme, BadPayload, SymbolNotFound
from piker.msgs import Asset, Fqme, MktPair, PriceStep

from ._conf import BROKER
from ._names import KINDS, qualifier, to_fqme

#: What IB says of a size it sets no bound or step for.
_UNSET: Final = Decimal("1e300")
_SHOWN: Final = 3


def make_mkt(
    details: ContractDetails,
    rules: Sequence[PriceIncrement] = (),
    *,
    word: str = "",
) -> MktPair:
    """Return the market of a contract.

    Its price tick is the finest step that its rule has anywhere; coarser ones, which
    some markets have from some price on, are its `MktPair.price_steps`. What a price is
    of the currency is in the multiplier: pence are hundredths of a pound where
    ``priceMagnifier`` is 100.

    Args:
      details: of the contract, whose kind is in `NAMED`.
      rules: steps of prices at its exchange, none if they aren't known.
      word: which of several of that name it is, see `to_fqme`.

    Raises:
      BadFqme: it has no name here.
      BadPayload: a number of it can't be.
    """
    contract = _contract(details)
    fqme = to_fqme(contract, word=word)
    kind = KINDS[contract.secType]
    size_tick = _step(details.sizeIncrement, "sizeIncrement") or Decimal(1)
    money = Asset(name=contract.currency.lower(), atype="fiat")
    quote, name = None, fqme.pair
    if contract.secType in {"CASH", "CRYPTO"}:
        name = fqme.pair[: -len(contract.currency)]
        quote = money
    try:
        return MktPair(
            dst=Asset(name=name, atype=kind, tx_tick=size_tick),
            src=quote,
            settle="" if quote else money.name,
            price_tick=_price_tick(details, rules),
            size_tick=size_tick,
            bs_mktid=str(contract.conId),
            broker=BROKER,
            venue=fqme.venue,
            expiry=fqme.expiry,
            contract_info=fqme.info,
            multiplier=_multiplier(details),
            atype=kind,
            size_min=_step(details.minSize, "minSize"),
            price_steps=_price_steps(rules),
        )
    except ValueError as err:
        raise BadPayload(f"a contract of ib that can't be traded: {err}") from err


def _contract(details: ContractDetails) -> Contract:
    if details.contract is None or details.contract.conId <= 0:
        raise BadPayload("ib told details of no contract")
    return details.contract


def _price_tick(details: ContractDetails, rules: Sequence[PriceIncrement]) -> Decimal:
    steps = [_step(each.increment, "increment") for each in rules]
    steps = [step for step in steps if step > 0]
    least = _step(details.minTick, "minTick")
    tick = min(steps) if steps else least
    if tick <= 0:
        raise BadPayload(f"a contract of ib has a step of prices of {tick}")
    return tick


def _price_steps(rules: Sequence[PriceIncrement]) -> tuple[PriceStep, ...]:
    """Return the coarser steps of a rule; none of one whose steps don't grow.

    By such a one `price_step` tells what is right, as the order is sent.
    """
    found: list[PriceStep] = []
    finer = Decimal(0)
    for rule in sorted(rules, key=lambda rule: rule.lowEdge):
        at_least = _as_decimal(rule.lowEdge, "lowEdge")
        tick = _step(rule.increment, "increment")
        if not tick or (finer and tick % finer) or at_least % tick:
            return ()
        finer = tick
        if at_least > 0:
            found.append(PriceStep(at_least=at_least, tick=tick))
    return tuple(found)


def price_step(rules: Sequence[PriceIncrement], price: Decimal) -> Decimal | None:
    """Return the step that a price is to be a multiple of, None if no rule is known.

    Args:
      rules: steps, each from a price on (``lowEdge``).
      price: the price, its sign doesn't count.
    """
    found = None
    for each in sorted(rules, key=lambda rule: rule.lowEdge):
        if _as_decimal(each.lowEdge, "lowEdge") <= abs(price):
            found = _step(each.increment, "increment")
    return found


def rule_id(details: ContractDetails) -> int | None:
    """Return the number of the rule of prices at the contract's own exchange.

    ``marketRuleIds`` are listed in the order of ``validExchanges``.
    """
    contract = _contract(details)
    exchanges = details.validExchanges.split(",")
    ids = details.marketRuleIds.split(",")
    for exchange, number in zip(exchanges, ids, strict=False):
        if exchange == contract.exchange and number.strip().isdigit():
            return int(number)
    return None


def _multiplier(details: ContractDetails) -> Decimal:
    contract = _contract(details)
    told = contract.multiplier or "1"
    multiplier = _as_decimal(told, "multiplier")
    magnifier = details.priceMagnifier or 1
    return multiplier / magnifier


def _step(value: float | str | Decimal, what: str) -> Decimal:
    """Return a step or a bound that IB tells, 0 if it sets none."""
    step = _as_decimal(value, what)
    return step if 0 < step < _UNSET else Decimal(0)


def _as_decimal(value: float | str | Decimal, what: str) -> Decimal:
    try:
        # the shortest decimal of a double is what IB wrote
        exact = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        exact = Decimal("nan")
    if not exact.is_finite():
        raise BadPayload(f"a contract of ib has a {what} of {value!r}")
    return exact.normalize() if exact else Decimal(0)


# -- which of several ------------------------------------------------------------------


def named_so(fqme: Fqme, found: Iterable[ContractDetails]) -> list[ContractDetails]:
    """Return those that a name may mean: IB lists what is elsewhere, too."""
    return [each for each in found if _is_named(fqme, _contract(each))]


def not_found(name: str) -> SymbolNotFound:
    """Return that there is no market of a name."""
    symbol = name.partition(".")[0]
    return SymbolNotFound(
        f"no market {name!r} at ib; `piker search {symbol} -b ib` lists what is like it"
    )


def pick(fqme: Fqme, found: Sequence[ContractDetails]) -> ContractDetails:
    """Return which of the contracts found for a name is meant.

    A listing at the venue that is named comes before others; of derivatives those of
    the underlying's own trading class do, of which there is one; adjusted or smaller
    ones have another. What is in dollars comes before what isn't.

    Raises:
      SymbolNotFound: none is, or several; the text says how to name one.
    """
    named = named_so(fqme, found)
    for is_likely in (_is_own_class, _is_in_dollars):
        likely = [each for each in named if is_likely(_contract(each))]
        named = likely or named
    by_id = {_contract(each).conId: each for each in named}
    if len(by_id) == 1:
        return next(iter(by_id.values()))
    if not by_id:
        raise not_found(str(fqme))
    raise SymbolNotFound(
        f"{str(fqme)!r} may be several markets at ib: write one of "
        + ", ".join(sorted(_told_apart(by_id.values()))[:_SHOWN])
    )


def _is_named(fqme: Fqme, contract: Contract) -> bool:
    try:
        name = to_fqme(contract, word=qualifier(fqme))
    except BadFqme:
        return False
    word = qualifier(fqme).upper()
    if word and word not in {contract.currency.upper(), contract.tradingClass.upper()}:
        return False
    is_anywhere = fqme.venue == "smart" and contract.secType == "STK"
    if is_anywhere:
        return name.pair == fqme.pair
    same_day = name.expiry_date == fqme.expiry_date
    return same_day and replace(name, expiry=fqme.expiry) == fqme


def _is_own_class(contract: Contract) -> bool:
    """Whether a derivative is of its underlying's own class; a stock's says nothing."""
    own = contract.symbol.replace(" ", "").upper()
    return contract.secType != "STK" and contract.tradingClass.upper() == own


def _is_in_dollars(contract: Contract) -> bool:
    return contract.currency == "USD"


def _told_apart(found: Iterable[ContractDetails]) -> list[str]:
    names = []
    for each in found:
        contract = _contract(each)
        is_spot = contract.secType in {"STK", "IND"}
        word = contract.currency if is_spot else contract.tradingClass
        try:
            names.append(str(to_fqme(contract, word=word.lower())))
        except BadFqme:
            continue
    return names
