"""Markets of IB by name, where what it lists isn't all that is meant."""

from __future__ import annotations

import asyncio

import pytest
from ib_async import ContractDetails

from piker.brokers.ib._markets import find_by_id, find_by_name
from piker.brokers.ib._reasons import ContractsLost
from piker.errors import MarketGone, SymbolNotFound, VenueUnreachable
from tests.brokers.test_ib_contracts import details

#: Spirax Group in London, and the index of 500 shares.
SPIRAX = details(
    "STK",
    symbol="SPX",
    primaryExchange="LSE",
    currency="GBP",
    conId=1,
    priceMagnifier=100,
)
INDEX = details("IND", symbol="SPX", exchange="CBOE", primaryExchange="", conId=2)


class Client:
    """Lists all of a kind and symbol, wherever they are listed."""

    def __init__(self, *listed: ContractDetails, fault=MarketGone) -> None:
        self.listed, self.fault = listed, fault

    async def details(self, wanted) -> list[ContractDetails]:
        found = [
            one
            for one in self.listed
            if one.contract.conId == wanted.conId
            or (one.contract.secType, one.contract.symbol)
            == (wanted.secType, wanted.symbol)
        ]
        if not found:
            raise self.fault("no security definition has been found")
        return found


@pytest.mark.parametrize("one", [SPIRAX, INDEX])
def test_an_index_is_found_though_a_share_elsewhere_has_its_symbol(one):
    client, con_id = Client(SPIRAX, INDEX), one.contract.conId
    known = asyncio.run(find_by_id(client, con_id))
    found = asyncio.run(find_by_name(client, known.mkt.fqme))
    assert found.mkt.bs_mktid == known.mkt.bs_mktid == str(con_id)
    assert known.mkt.fqme in {"spx.lse.ib", "spx.cboe.ib"}


def test_what_is_listed_elsewhere_only_is_not_found():
    with pytest.raises(SymbolNotFound, match=r"spx\.nyse\.ib"):
        asyncio.run(find_by_name(Client(SPIRAX, INDEX), "spx.nyse.ib"))


def test_of_lost_servers_what_is_found_counts_and_what_is_not_does_not():
    client = Client(INDEX, fault=ContractsLost)
    assert asyncio.run(find_by_name(client, "spx.cboe.ib")).mkt.bs_mktid == "2"
    assert asyncio.run(find_by_id(client, 2)).mkt.fqme == "spx.cboe.ib"
    for ask in (find_by_name(client, "spx.nyse.ib"), find_by_id(client, 3)):
        with pytest.raises(VenueUnreachable) as caught:
            asyncio.run(ask)
        assert type(caught.value) is VenueUnreachable, "what others know, too"


def test_a_future_is_called_after_its_own_exchange():
    """IB lists it at its place for algorithms, too, under the same id."""
    told = {
        "symbol": "ES", "primaryExchange": "", "conId": 5, "tradingClass": "ES",
        "lastTradeDateOrContractMonth": "20261218", "validExchanges": "CME,QBALGO",
        "multiplier": "50", "minTick": 0.25, "sizeIncrement": 1.0,
    }  # fmt: skip
    algo = details("FUT", exchange="QBALGO", **told)
    own = details("FUT", exchange="CME", **told)
    for listed in ((algo, own), (own, algo)):
        found = asyncio.run(find_by_id(Client(*listed), 5))
        assert found.mkt.fqme == "es.cme.20261218.ib"
        assert found.contract.exchange == "CME"
