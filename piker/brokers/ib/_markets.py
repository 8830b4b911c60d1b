"""Markets of IB by name and by ``conId``, on the asyncio side.

name --to_contracts(), details, pick()--> ContractDetails --make_mkt()--> Known
``conId`` --details-----------------------^
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ib_async import Contract, ContractDetails, PriceIncrement

from piker.errors import (
    BadFqme,
    BadPayload,
    MarketGone,
    SymbolNotFound,
    VenueRefused,
    VenueUnreachable,
)
from piker.log import get_logger
from piker.msgs import Calendar, Fqme, MktPair

from ._contracts import make_mkt, named_so, not_found, pick, rule_id
from ._hours import weekly
from ._names import SMART, qualifier, to_contracts
from ._reasons import ContractsLost

if TYPE_CHECKING:
    from ._client import Client

log = get_logger(__name__)

#: What IB has no trades of: its prices are those in the middle of bid and ask.
_BY_MIDDLE: Final = frozenset({"CASH", "CMDTY"})

#: So often a rule of prices is asked for that isn't answered.
_RULE_TRIES: Final = 2


@dataclass(frozen=True, eq=False)
class Known:
    """A market of IB.

    Attributes:
      mkt: as we know it.
      contract: as IB does, whole: what data is asked for with, and orders are sent for.
      details: what IB says of it.
      rules: steps of prices, each from a price on; none if IB doesn't tell.
      calendar: its hours of a week.
    """

    mkt: MktPair
    contract: Contract
    details: ContractDetails
    rules: tuple[PriceIncrement, ...]
    calendar: Calendar

    @property
    def is_by_middle(self) -> bool:
        """Whether its prices are those in the middle of bid and ask."""
        return self.contract.secType in _BY_MIDDLE

    @property
    def is_index(self) -> bool:
        """Whether it is only counted, not traded."""
        return self.contract.secType == "IND"


async def find_by_name(client: Client, name: str) -> Known:
    """Return the market called *name*.

    Raises: BadFqme, SymbolNotFound: there is none, or several; VenueError.
    """
    fqme = Fqme.parse(name)
    lost = None
    for contract in to_contracts(fqme):
        try:
            found = await client.details(contract)
        except MarketGone:
            continue
        except ContractsLost as err:
            lost = err
            continue
        if named_so(fqme, found):
            return await _known(client, pick(fqme, found), qualifier(fqme))
    if lost is not None:
        raise VenueUnreachable(str(lost))
    raise not_found(name)


async def find_by_id(client: Client, con_id: int) -> Known:
    """Return the market of that ``conId``, under the name it is found by.

    Raises: SymbolNotFound; BadFqme: it has no name here; VenueError.
    """
    try:
        found = await client.details(Contract(conId=con_id))
    except MarketGone:
        found = []
    except ContractsLost as err:
        raise VenueUnreachable(str(err)) from None
    if not found:
        raise SymbolNotFound(f"ib has no contract of id {con_id}")
    best = min(found, key=_is_elsewhere)
    return await _known(client, best, await _word(client, best))


def _is_elsewhere(details: ContractDetails) -> tuple[bool, bool]:
    """Whether it is told of another place than the one its market is named after.

    That is the first at which it is valid, where it isn't routed by SMART.
    """
    exchange = details.contract.exchange if details.contract is not None else ""
    own = details.validExchanges.partition(",")[0].strip()
    return exchange != SMART, exchange != own


async def _word(client: Client, details: ContractDetails) -> str:
    """Return the word without which a contract's name means another, or several."""
    known = await _known(client, details, "")
    try:
        found = await find_by_name(client, known.mkt.fqme)
    except (SymbolNotFound, BadFqme):
        found = None
    if found is not None and found.mkt.bs_mktid == known.mkt.bs_mktid:
        return ""
    is_spot = known.contract.secType in {"STK", "IND"}
    word = known.contract.currency if is_spot else known.contract.tradingClass
    return word.lower()


async def _known(client: Client, details: ContractDetails, word: str) -> Known:
    contract = details.contract
    if contract is None:
        raise BadPayload("ib told details of no contract")
    rules = await _rules(client, details)
    mkt = make_mkt(details, rules, word=word)
    return Known(
        mkt=mkt,
        contract=replace(contract),
        details=details,
        rules=tuple(rules),
        calendar=_hours(details),
    )


async def _rules(client: Client, details: ContractDetails) -> Sequence[PriceIncrement]:
    """Return a market's steps of prices, none if IB doesn't tell them.

    A market is kept for hours: one that lacks them is so only if they can't be had.
    Raises: VenueUnreachable.
    """
    number = rule_id(details)
    if number is None:
        return ()
    for _ in range(_RULE_TRIES):
        try:
            return await client.rules(number)
        except VenueRefused as err:
            log.info("%s: %s", details.longName, err)
            break
        except VenueUnreachable as err:
            if client.gateway.state != "up" or not client.ib.client.isReady():
                raise
            log.warning("%s: %s", details.longName, err)
    return ()


def _hours(details: ContractDetails) -> Calendar:
    """Return a market's hours; always open if they aren't told or can't be read."""
    hours, zone = details.tradingHours, details.timeZoneId
    if not hours or not zone:
        return Calendar()
    try:
        return weekly(hours, zone)
    except BadPayload as err:
        log.warning("%s: its hours are left out: %s", details.longName, err)
        return Calendar()
