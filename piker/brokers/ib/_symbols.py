"""IB's markets: found by name, by ``conId`` and by a search; IB has no list of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ib_async import Contract, ContractDescription, ContractDetails

from piker.brokers._aio import MethodProxy
from piker.brokers._backend import serve_search
from piker.brokers._rank import Entry, SymbolIndex
from piker.errors import BadFqme, MarketGone, SymbolNotFound, UsageError
from piker.msgs import Fqme, Match
from piker.service import Context, endpoint

from ._client import Client
from ._conf import BROKER
from ._contracts import pick
from ._link import open_link
from ._markets import Known
from ._names import KINDS, SMART, to_fqme
from ._reasons import ContractsLost

#: So many futures, or options, of one underlying are looked through.
_CHAIN_MAX: Final = 2000
#: A search has so long: chains are long.
_SEARCH_S: Final = 30.0
_SUFFIX: Final = f".{BROKER}"
#: In which money and coins are quoted; their symbol at IB is what is before it.
_MONEY: Final = frozenset(
    ("aud", "cad", "chf", "cnh", "czk", "dkk", "eur", "gbp", "hkd", "huf", "ils", "jpy",
     "mxn", "nok", "nzd", "pln", "sek", "sgd", "try", "usd", "zar")
)  # fmt: skip


async def cache_contract(proxy: MethodProxy[Client], name: str) -> Known:
    """Return the market called *name*, asked for once in this process and kept.

    Whoever needs a contract calls this right before, whether a feed has opened the
    market or not: another process's cache is of no use here.

    Raises: BadFqme, SymbolNotFound: there is none, or several; VenueError.
    """
    return await proxy.call(Client.market, name)


async def cache_contract_id(proxy: MethodProxy[Client], con_id: int) -> Known:
    """Return the market of a ``conId``, as `cache_contract` does."""
    return await proxy.call(Client.market_of, con_id)


async def find_known(name: str) -> Known:
    """Return the market called *name*; raises as `cache_contract`."""
    Fqme.parse(name)  # a name that can't be one needs no gateway to say so
    async with open_link("datad") as proxy:
        return await cache_contract(proxy, name)


# -- search -------------------------------------------------------------------------


async def find_matches(pattern: str, limit: int, kind: str = "") -> list[Match]:
    """Return the markets that fit *pattern*, best first.

    The first word is for IB to find symbols by; the others choose among what it found,
    and among the futures of a symbol that was met exactly. Its options are listed if a
    word tells their expiry: ``tsla 20270115 200c``.

    Args:
      pattern: words in any case.
      limit: of matches.
      kind: asset type they must have; any if empty.

    Raises: VenueError.
    """
    words = [word for word in pattern.casefold().split() if word.isascii()]
    words = [word for word in words if word.isprintable()][:10]
    if not words or (kind and kind not in KINDS.values()):
        return []
    async with open_link("datad") as proxy:
        search = proxy.within(_SEARCH_S)
        exact = await _named(search, words)
        found = [exact] if exact is not None else []
        if exact is None:
            found = await _listed(search, words, kind)
    return SymbolIndex(found).search(" ".join(words), limit, kind)


async def _named(proxy: MethodProxy[Client], words: list[str]) -> Entry | None:
    """Return the market that the pattern is the very name of."""
    if len(words) != 1 or not words[0].endswith(_SUFFIX):
        return None
    try:
        known = await cache_contract(proxy, words[0])
    except UsageError:
        return None
    return _entry(known.mkt.fqme, known.contract.secType, known.details.longName)


async def _listed(
    proxy: MethodProxy[Client], words: list[str], kind: str
) -> list[Entry]:
    symbol = words[0].removesuffix(_SUFFIX).partition(".")[0]
    rest = [*words[0].removesuffix(_SUFFIX).split(".")[1:], *words[1:]]
    told = await _matching(proxy, symbol)
    if not told and symbol[-3:] in _MONEY:
        told = await _matching(proxy, symbol[:-3])
    entries = [one for each in told for one in _described(each)]
    for contract in _derivatives(told, symbol, rest, kind):
        try:
            found = await proxy.call(Client.details, contract)
        except (MarketGone, ContractsLost):
            continue
        entries += _of_chain(found[:_CHAIN_MAX])
    return list({entry.fqme: entry for entry in entries}.values())


async def _matching(
    proxy: MethodProxy[Client], symbol: str
) -> list[ContractDescription]:
    try:
        return await proxy.call(Client.matching, symbol.upper()) if symbol else []
    except MarketGone:
        return []


def _described(told: ContractDescription) -> list[Entry]:
    contract = told.contract
    if contract is None:
        return []
    # a place as it is told here may have a segment: NASDAQ.NMS
    place = contract.primaryExchange.partition(".")[0]
    one = Contract(
        secType=contract.secType,
        symbol=contract.symbol,
        currency=contract.currency,
        primaryExchange=place,
        exchange=place or SMART,
    )
    try:
        name = str(to_fqme(one))
    except BadFqme:
        return []  # bonds, and what has no name here
    words = f"{contract.description} {contract.currency}".strip()
    return [_entry(name, contract.secType, words)]


def _derivatives(
    told: Iterable[ContractDescription], symbol: str, rest: list[str], kind: str
) -> list[Contract]:
    """Return which futures and options to ask for: of a symbol that is met exactly."""
    kinds = {
        each
        for one in told
        if one.contract is not None and one.contract.symbol.casefold() == symbol
        for each in one.derivativeSecTypes
    }
    kinds |= {
        one.contract.secType
        for one in told
        if one.contract is not None and one.contract.symbol.casefold() == symbol
    }
    day = next((word for word in rest if len(word) == 8 and word.isdigit()), "")
    strike = next((one for one in map(_as_strike, rest) if one), None)
    wanted = []
    if "FUT" in kinds and kind in {"", "future"} and strike is None:
        wanted.append(
            Contract(
                secType="FUT", symbol=symbol.upper(), lastTradeDateOrContractMonth=day
            )
        )
    for each in ("OPT", "FOP"):
        if each in kinds and kind in {"", KINDS[each]} and day:
            price, right = strike or (0.0, "")
            wanted.append(
                Contract(
                    secType=each, symbol=symbol.upper(), strike=price, right=right,
                    lastTradeDateOrContractMonth=day,
                    exchange=SMART if each == "OPT" else "",
                )
            )  # fmt: skip
    return wanted


def _as_strike(word: str) -> tuple[float, str] | None:
    """Return the strike and the right that a word says: ``12_5c`` or ``12.5c``."""
    price, right = word[:-1].replace("_", "."), word[-1:].upper()
    if right not in {"C", "P"} or not price.replace(".", "", 1).isdigit():
        return None
    return float(price), right


def _of_chain(found: Iterable[ContractDetails]) -> list[Entry]:
    """Return the markets of a chain that a name alone tells apart from the others."""
    by_name: dict[str, list[ContractDetails]] = {}
    for details in found:
        try:
            name = str(to_fqme(details.contract or Contract()))
        except BadFqme:
            continue
        by_name.setdefault(name, []).append(details)
    entries = []
    for name, several in by_name.items():
        try:
            one = pick(Fqme.parse(name), several)
        except SymbolNotFound:
            continue
        assert one.contract is not None
        entries.append(_entry(name, one.contract.secType, one.longName))
    return entries


def _entry(name: str, sec_type: str, words: str) -> Entry:
    fqme = Fqme.parse(name)
    return Entry(
        fqme=name, kind=KINDS[sec_type], description=words, base=fqme.pair, quote=""
    )


@endpoint(receives=tuple[str, int, str], sends=list[Match] | str)
async def open_symbol_search(ctx: Context) -> None:
    """Search IB's markets, see :func:`piker.brokers.serve_search`.

    Who types on gives up the question before: of those that wait for IB's pace, one a
    second, only the newest is asked.
    """
    await serve_search(ctx, find_matches)
