"""Keys that are revoked and markets that are delisted while orders rest."""

from __future__ import annotations

import pytest
import trio

from piker.errors import AccountNotFound
from tests.brokers._live import (
    BINANCE,
    DERIBIT,
    KRAKEN,
    live_trading,
    open_live,
    order,
    secrets_of,
    write_secrets,
)

pytestmark = pytest.mark.tree

AT = pytest.mark.parametrize("at", [BINANCE, KRAKEN], ids=["binance", "kraken"])


@AT
async def test_an_order_that_rests_in_a_market_that_is_delisted_ends(
    open_test_pikerd, at
):
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        rests = order(58_000, "0.5", at=at)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await live.venue.outside(at.symbol, "sell", "58000", "50.2")
        await me.until(resp="fill", oid=rests.oid)
        await live.venue.control(f"delist?symbol={at.symbol}")
        ended = await me.until(resp="canceled", oid=rests.oid)
        assert 0 < ended.filled < rests.size
        late = order(58_000, "0.5", at=at)
        await me.client.send(late)
        refused = await me.until(resp="error", oid=late.oid)
        assert refused.reason
        assert not me.dialogs
        daemon = live.tree.services.service_tasks[f"brokerd.{at.broker}"]
        assert daemon.restarts == 0


@AT
async def test_a_key_that_is_revoked_is_said_and_ends_nothing(open_test_pikerd, at):
    """What rests at the venue rests there: nobody knows more than was told."""
    async with open_live(open_test_pikerd, at=at) as live, live_trading(at) as me:
        rests = order(58_000, "0.5", at=at)
        await me.client.send(rests)
        await me.until(resp="open", oid=rests.oid)
        await live.venue.control("revoke?name=main")
        await live.venue.fault("disconnect", how="rst")
        # what is on the wire just then may be there: nobody can ask for it any more
        while "no line" not in (await live.tree.infos())[f"brokerd.{at.broker}"].doing:
            await trio.sleep(0.02)
        late = order(58_100, "0.5", at=at)
        await me.client.send(late)
        refused = await me.until(resp="error", oid=late.oid, deadline_s=40)
        assert "key" in refused.reason.lower(), refused.reason
        assert set(me.dialogs) == {rests.oid}
        daemon = live.tree.services.service_tasks[f"brokerd.{at.broker}"]
        assert daemon.restarts == 0


@pytest.mark.parametrize("wrong", ["key", "secret"])
@pytest.mark.parametrize("at", [BINANCE, KRAKEN, DERIBIT], ids=lambda at: at.broker)
async def test_a_key_that_is_wrong_is_said_at_once_and_so_is_a_secret(
    open_test_pikerd, at, wrong
):
    """Not once it was waited in vain for the account to be reconciled."""
    async with open_live(open_test_pikerd, at=at) as live:
        right = {"key": live.key, "secret": live.secret}
        write_secrets(secrets_of(at, **{**right, wrong: right[wrong][::-1]}))
        began = trio.current_time()
        with pytest.raises(AccountNotFound, match="mend the account's key and secret"):
            async with live_trading(at):
                pass
        assert trio.current_time() - began < 18, "that takes 20 s"
        write_secrets(secrets_of(at, **right))
        with trio.fail_after(30):
            while not await _takes_orders(at):
                await trio.sleep(0.2)


async def _takes_orders(at) -> bool:
    try:
        async with live_trading(at) as me:
            asked = order(58_000, "0.5", at=at)
            await me.client.send(asked)
            await me.until(resp="open", oid=asked.oid)
    except AccountNotFound:
        return False  # what was told last: it is tried again soon
    return True
