"""One account's session at Deribit: what is asked, and what is made of answers."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial, wraps

import pytest
import trio

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers._live._venue import (
    LineDown,
    LineUp,
    NewOrder,
    NotSent,
    OrderState,
    Unsure,
    VenueTrade,
)
from piker.brokers.deribit._orders import open_session
from piker.brokers.deribit._sniff import make_mkt
from piker.brokers.deribit._symbols import find_market
from piker.errors import AccountNotFound, SymbolNotFound, VenueRefused
from piker.testing import private_dirs
from tests._infected import run_infected
from tests.brokers._rpc_venue import Refused, open_rpc_venue
from tests.brokers.test_deribit_answers import INSTRUMENT, OPTION
from tests.brokers.test_deribit_order_decode import (
    DELIVERED,
    ORDER,
    OURS,
    SETTLED,
    TRADE,
    order_row,
)

D = Decimal
PERP = make_mkt("BTC-PERPETUAL", D("0.5"), D(10))
COMBO = "BTC-FS-25DEC26_PERP"
#: An account whose budgets aren't those of another test.
NAMES = (f"deribit.{secrets.token_hex(4)}" for _ in range(1000))


def in_session(test):
    """Run an async test with a venue, a session of it, and what that tells."""

    @wraps(test)
    def run(tmp_path) -> None:
        run_infected(partial(_run, test, tmp_path), deadline_s=40)

    del run.__wrapped__
    return run


async def _run(test, folder, deadline_s=10) -> None:
    async with open_rpc_venue() as venue:
        venue.on |= {
            "public/auth": lambda _: {
                "access_token": "a", "refresh_token": "r", "expires_in": 900,
                "scope": "trade:read_write wallet:read",
            },
            "public/get_time": lambda _: 1_700_000_000_000,
            "private/disable_cancel_on_disconnect": lambda _: "ok",
            "private/subscribe": lambda params: params["channels"],
        }  # fmt: skip
        conf = f"""
            [brokers.deribit]
            ws = "ws://127.0.0.1:{venue.port}"
            deadline_s = {deadline_s}
        """
        with private_dirs(folder, conf):
            async with open_told(next(NAMES)) as (session, told):
                await test(venue, session, told)


@asynccontextmanager
async def open_told(account):
    """Yield a session that runs, and the list of what it tells, once it is up."""
    keys, told = Keys(Secret(f"key of {account}"), Secret(f"of {account}")), []
    async with open_session(account, keys) as session, trio.open_nursery() as tasks:
        tasks.start_soon(session.run, told.append)
        await until(told, LineUp)
        yield session, told
        tasks.cancel_scope.cancel()


async def until(told, kind, n: int = 1):
    """Return the *n*th of a kind that was told."""
    with trio.fail_after(10):
        while True:
            found = [one for one in told if isinstance(one, kind)]
            if len(found) >= n:
                return found[n - 1]
            await trio.sleep(0.01)


def new(**more) -> NewOrder:
    terms = {"side": "buy", "price": D(58_000), **more}
    return NewOrder(mkt=PERP, cl_id=OURS, size=D(100), **terms)


def changes(orders=(), trades=()) -> dict:
    data = {"instrument_name": "any", "orders": list(orders), "trades": list(trades)}
    params = {"channel": "user.changes.any.any.raw", "data": data}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


@in_session
async def test_orders_do_not_end_with_their_line_and_all_changes_are_heard(
    venue, session, told
):
    methods = [one["method"] for one in venue.heard]
    assert methods.index("private/disable_cancel_on_disconnect") < methods.index(
        "private/subscribe"
    )
    assert venue.asked("private/subscribe") == [
        {"channels": ["user.changes.any.any.raw"]}
    ]
    combo = {"instrument_name": COMBO, "price": -5.0}
    await venue.send(
        changes(
            [ORDER, {**ORDER, **combo, "order_id": "9"}], [TRADE, {**TRADE, **combo}]
        )
    )
    state, trade = await until(told, OrderState), await until(told, VenueTrade)
    assert told.index(trade) < told.index(state), "what is filled then is told of"
    assert (state.reqid, trade.tid) == (ORDER["order_id"], TRADE["trade_id"])
    assert [one for one in told if isinstance(one, LineDown)] == []
    assert session.odd_messages == 0, "combos are left out"


@in_session
async def test_a_message_that_cannot_be_read_is_counted_and_all_looked_up(
    venue, session, told
):
    await venue.send(changes([{**ORDER, "amount": -1}]))
    await until(told, LineUp, 2)
    assert session.odd_messages == 1
    await venue.drop()
    await until(told, LineDown)
    await until(told, LineUp, 3)


@pytest.mark.parametrize(
    ("order", "method", "asked"),
    [
        (new(), "buy", {"type": "limit", "price": 58_000, "post_only": False,
                        "time_in_force": "good_til_cancelled"}),
        (new(side="sell", tif="fok"), "sell", {"type": "limit", "price": 58_000,
                                               "post_only": False,
                                               "time_in_force": "fill_or_kill"}),
        (new(post_only=True, tif="gtc"), "buy",
         {"type": "limit", "price": 58_000, "post_only": True,
          "reject_post_only": True, "time_in_force": "good_til_cancelled"}),
        (new(price=None), "buy", {"type": "market"}),
        (new(price=None, trigger=D(59_000)), "buy",
         {"type": "stop_market", "trigger": "last_price", "trigger_price": 59_000}),
        (new(trigger=D(59_000)), "buy",
         {"type": "stop_limit", "trigger": "last_price", "trigger_price": 59_000,
          "price": 58_000, "post_only": False,
          "time_in_force": "good_til_cancelled"}),
        (new(reduce_only=True), "buy",
         {"type": "limit", "price": 58_000, "post_only": False, "reduce_only": True,
          "time_in_force": "good_til_cancelled"}),
    ],
)  # fmt: skip
def test_what_is_asked_for_an_order(tmp_path, order, method, asked):
    async def test(venue, session, _told):
        venue.on[f"private/{method}"] = lambda _: {"order": ORDER, "trades": []}
        state = await session.place(order)
        assert state.reqid == ORDER["order_id"]
        (params,) = venue.asked(f"private/{method}")
        until_ms = params.pop("valid_until")
        assert 0 < until_ms - session.now_ns() // 10**6 <= 3000
        assert params == asked | {
            "instrument_name": "BTC-PERPETUAL", "amount": 100, "label": OURS,
        }  # fmt: skip

    run_infected(partial(_run, test, tmp_path), deadline_s=40)


@pytest.mark.parametrize(
    ("order", "asked"),
    [
        (new(), {"price": 58_000, "post_only": False}),
        (new(reduce_only=True), {"price": 58_000, "post_only": False,
                                 "reduce_only": True}),
        (new(post_only=True), {"price": 58_000, "post_only": True,
                               "reject_post_only": True}),
        (new(price=None, trigger=D(59_000)), {"trigger_price": 59_000}),
    ],
)  # fmt: skip
def test_a_change_tells_all_of_an_order_that_the_venue_would_forget(
    tmp_path, order, asked
):
    async def test(venue, session, _told):
        venue.on["private/edit"] = lambda _: {"order": ORDER, "trades": []}
        old = session._state_of(order_row())
        await session.amend(old, order)
        (params,) = venue.asked("private/edit")
        params.pop("valid_until")
        assert params == asked | {"order_id": ORDER["order_id"], "amount": 100}

    run_infected(partial(_run, test, tmp_path), deadline_s=40)


def refusing(code, times):
    """Return what refuses so often with a code, then places."""
    left = [1] * times

    def answer(_):
        if left:
            left.pop()
            raise Refused({"code": code, "message": "no_such_luck"})
        return {"order": ORDER, "trades": []}

    return answer


@in_session
async def test_a_token_that_ended_is_renewed_and_the_order_sent_again(
    venue, session, told
):
    venue.on["private/buy"] = refusing(13009, 1)
    before = len(venue.asked("public/auth"))
    await session.place(new())
    assert len(venue.asked("private/buy")) == 2
    assert len(venue.asked("public/auth")) == before + 1


@in_session
async def test_an_order_that_came_too_late_is_sent_again_by_a_new_measure(
    venue, session, told
):
    venue.on["private/buy"] = refusing(13888, 1)
    before = len(venue.asked("public/get_time"))
    await session.place(new())
    assert len(venue.asked("private/buy")) == 2
    assert len(venue.asked("public/get_time")) > before
    venue.on["private/buy"] = refusing(13888, 2)
    with pytest.raises(NotSent, match="no_such_luck"):
        await session.place(new())


@pytest.mark.parametrize("code", [10028, 10041, 10066])
def test_a_cancel_that_the_venue_is_too_busy_for_may_be_asked_for_again(tmp_path, code):
    async def test(venue, session, _told):
        venue.on["private/buy"] = refusing(0, 0)
        state = await session.place(new())
        venue.on["private/cancel"] = refusing(code, 1)
        with pytest.raises(Unsure) as caught:
            await session.cancel(state)
        assert 0 < caught.value.until_ns - session.now_ns() <= 10**9
        venue.on["private/buy"] = refusing(code, 1)
        with pytest.raises(NotSent):
            await session.place(new())

    run_infected(partial(_run, test, tmp_path), deadline_s=40)


@in_session
async def test_orders_leave_room_for_cancels_in_what_the_venue_allows(
    venue, session, told
):
    """Twenty at once and five a second, cancels among them; one more ends the line."""
    began, asked = trio.current_time(), []

    def counted(_):
        asked.append(1)
        if len(asked) > 20 + 5 * (trio.current_time() - began):
            raise Refused({"code": 10028, "message": "too_many_requests"})
        return {"order": ORDER, "trades": []}

    venue.on["private/buy"] = counted
    over = {**ORDER, "order_state": "cancelled"}
    venue.on["private/cancel"] = lambda params: counted(params) and over
    state = session._state_of(order_row())
    async with trio.open_nursery() as tasks:
        for _ in range(25):
            tasks.start_soon(session.place, new())
        await venue.wait_heard("private/buy", 15)
        await trio.sleep(0.1)
        assert (await session.cancel(state)).is_over
        tasks.cancel_scope.cancel()


@in_session
async def test_a_request_whose_token_cannot_be_renewed_was_not_done(
    venue, session, told
):
    venue.on["private/buy"] = refusing(0, 0)
    state = await session.place(new())

    def refuse(_):
        raise Refused({"code": 13004, "message": "invalid_credentials"})

    venue.on["public/auth"] = refuse
    venue.on["private/buy"] = refusing(13009, 1)
    with pytest.raises(NotSent, match="invalid_credentials"):
        await session.place(new())
    venue.on["private/cancel"] = refusing(13009, 1)
    with pytest.raises(Unsure, match="invalid_credentials"):
        await session.cancel(state)


def test_an_answer_that_never_comes_leaves_open_what_was_done(tmp_path):
    async def test(venue, session, _told):
        venue.on["private/buy"] = lambda _: None
        began_ns = session.now_ns()
        with pytest.raises(Unsure) as caught:
            await session.place(new())
        assert caught.value.until_ns > began_ns + 2 * 10**9, "longer than it was waited"
        assert len(venue.asked("private/buy")) == 1

    run_infected(partial(_run, test, tmp_path, deadline_s=2), deadline_s=40)


@in_session
async def test_open_orders_are_read_without_combos(venue, session, told):
    venue.on["private/get_open_orders"] = lambda _: [
        ORDER,
        {**ORDER, "instrument_name": COMBO, "price": -5.0},
        {**ORDER, "order_id": "SLTB-7", "order_state": "untriggered",
         "trigger_price": 59_000},
    ]  # fmt: skip
    found = await session.open_orders()
    assert [(one.reqid, one.time_ns) for one in found][:1] == [(ORDER["order_id"], 0)]
    assert len(found) == 2


@in_session
async def test_an_order_is_looked_up_by_id_then_by_label(venue, session, told):
    def absent(_):
        raise Refused({"code": 10004, "message": "order_not_found"})

    venue.on["private/get_order_state"] = absent
    venue.on["private/get_order_state_by_label"] = lambda _: []
    venue.on["private/get_order_history_by_instrument"] = lambda _: []
    assert await session.find(PERP, OURS, "7") is None
    assert venue.asked("private/get_order_state_by_label") == [
        {"currency": "BTC", "label": OURS}
    ]
    venue.on["private/get_order_state_by_label"] = lambda _: [
        {**ORDER, "order_id": "SLTB-7", "order_state": "triggered"},
        {**ORDER, "order_id": "7", "trigger_order_id": "SLTB-7"},
        {**ORDER, "label": "other"},
    ]
    found = await session.find(PERP, OURS)
    assert found is not None
    assert (found.reqid, found.state) == ("SLTB-7", "open")


def holding(venue, *currencies):
    """Have the account hold currencies; trades are listed as by the documents."""
    rows = [{"currency": name, "balance": 1.0} for name in currencies]
    venue.on["private/get_account_summaries"] = lambda _: {"summaries": rows}

    def only_traded(answer):
        def make(params):
            if params["currency"] not in ("BTC", "ETH", "USDC", "USDT", "EURR"):
                raise Refused(
                    {
                        "code": -32602,
                        "message": "Invalid params",
                        "data": {"reason": "invalid", "param": "currency"},
                    }
                )
            return answer

        return make  # fmt: skip

    none = only_traded({"trades": [], "has_more": False})
    venue.on |= {
        "private/get_user_trades_by_currency": none,
        "private/get_user_trades_by_currency_and_time": none,
        "private/get_order_state_by_label": only_traded([]),
        "private/get_transaction_log": lambda _: {"logs": [], "continuation": None},
    }


@in_session
async def test_coins_that_are_only_held_do_not_keep_trades_from_being_listed(
    venue, session, told
):
    holding(venue, "BTC", "SOL", "USDC")
    for _ in range(2):
        assert [page async for page in session.trades(None)] == []
    asked = venue.asked("private/get_user_trades_by_currency_and_time")
    assert {params["currency"] for params in asked} == {"BTC", "USDC"}
    assert len(venue.asked("private/get_user_trades_by_currency")) == 1, "asked once"
    spot = make_mkt("SOL_USDC", D("0.01"), D("0.01"))
    assert await session.find(spot, OURS) is None
    assert [one["currency"] for one in venue.asked("private/get_order_state_by_label")
            ] == ["USDC"]  # fmt: skip


@in_session
async def test_a_currency_of_which_trades_are_refused_otherwise_is_no_empty_list(
    venue, session, told
):
    holding(venue, "BTC", "SOL")

    def refuse(_):
        raise Refused({"code": 13021, "message": "forbidden"})

    venue.on["private/get_user_trades_by_currency"] = refuse
    with pytest.raises(VenueRefused, match="forbidden"):
        [page async for page in session.trades(None)]


@in_session
async def test_a_row_of_the_log_that_cannot_be_read_keeps_nobody_from_trading(
    venue, session, told
):
    """It is told, and left out; without the others no order would ever be taken."""
    holding(venue, "BTC")
    odd = {**DELIVERED, "id": 9, "cashflow": None}
    venue.on["private/get_transaction_log"] = lambda _: {
        "logs": [SETTLED, odd], "continuation": None,
    }  # fmt: skip
    pages = [page async for page in session.trades(None)]
    assert [one.tid for page in pages for one in page] == ["log-btc-61311"]
    assert session.odd_messages == 1


@in_session
async def test_the_log_is_asked_for_no_more_often_than_the_venue_takes(
    venue, session, told
):
    """A request more ends the connection there."""
    holding(venue, "BTC", "ETH", "USDC")

    async def ask() -> None:
        while True:
            [page async for page in session.trades(None)]

    began = trio.current_time()
    async with trio.open_nursery() as tasks:
        tasks.start_soon(ask)
        await venue.wait_heard("private/get_transaction_log", 8)
        await trio.sleep(0.5)
        asked = len(venue.asked("private/get_transaction_log"))
        assert asked == 8 or trio.current_time() > began + 8
        tasks.cancel_scope.cancel()


@in_session
async def test_an_order_that_ended_long_ago_is_found_in_the_history(
    venue, session, told
):
    """Half an hour after its end the venue knows it nowhere else; a trade, a day."""

    def absent(_):
        raise Refused({"code": 10004, "message": "order_not_found"})

    venue.on["private/get_order_state"] = absent
    venue.on["private/get_order_state_by_label"] = lambda _: []
    over = {**ORDER, "order_state": "cancelled", "cancel_reason": "user_request"}
    venue.on["private/get_order_history_by_instrument"] = lambda _: [
        {**over, "order_id": "another"}, over,
    ]  # fmt: skip
    found = await session.find(PERP, OURS, ORDER["order_id"])
    assert found is not None
    assert (found.reqid, found.state, found.filled) == (
        ORDER["order_id"], "canceled", 40,
    )  # fmt: skip
    (asked,) = venue.asked("private/get_order_history_by_instrument")
    assert asked == {
        "instrument_name": "BTC-PERPETUAL", "count": 1000, "include_old": True,
        "include_unfilled": True, "historical": True,
    }  # fmt: skip
    assert await session.find(PERP, OURS) is None, "what had no id isn't old"
    venue.on["private/get_user_trades_by_order"] = lambda params: (
        [TRADE] if params["historical"] else []
    )
    assert [one.tid for one in await session.trades_of(PERP, "7")] == ["47958936"]


@in_session
async def test_a_stop_that_counted_long_ago_is_what_it_became(venue, session, told):
    stop = {**ORDER, "order_id": "SLTB-7", "order_state": "triggered"}
    child = {**ORDER, "order_id": "8", "order_state": "filled", "filled_amount": 100.0,
             "trigger_order_id": "SLTB-7"}  # fmt: skip
    venue.on["private/get_order_state"] = lambda _: stop
    venue.on["private/get_order_state_by_label"] = lambda _: []
    venue.on["private/get_order_history_by_instrument"] = lambda _: [child, stop]
    found = await session.find(PERP, OURS, "SLTB-7")
    assert found is not None
    assert (found.reqid, found.state, found.filled) == ("SLTB-7", "closed", 100)
    venue.on["private/get_order_history_by_instrument"] = lambda _: []
    found = await session.find(PERP, OURS, "SLTB-7")
    assert found is not None
    assert found.reqid == "SLTB-7"


@in_session
async def test_the_history_of_a_market_that_is_gone_is_none(venue, session, told):
    def absent(_):
        raise Refused({"code": 10004, "message": "order_not_found"})

    def gone(_):
        raise Refused({"code": 13020, "message": "not_found"})

    venue.on["private/get_order_state"] = absent
    venue.on["private/get_order_state_by_label"] = lambda _: []
    venue.on["private/get_order_history_by_instrument"] = gone
    assert await session.find(PERP, OURS, "7") is None


@in_session
async def test_what_a_key_is_for(venue, session, told):
    venue.on["private/get_account_summaries"] = lambda _: {
        "summaries": [{"currency": "BTC", "balance": 1.5, "session_rpl": -0.25}]
    }
    row = {"instrument_name": "BTC-25DEC26-50000-C", "direction": "sell", "size": -0.3}
    asked = {"currency": "any", "kind": "option"}
    venue.on["private/get_positions"] = lambda of: [row] if of == asked else []
    found = await session.permissions()
    assert (found.may_trade, found.may_withdraw, found.warnings) == (True, False, ())
    venue.on["public/get_instruments"] = lambda _: [OPTION]
    # options as their trades add up: see `traded`
    assert await session.balances() == {
        "btc": D("1.25"), "btc.20261225.50000c.deribit": D("-0.3")
    }  # fmt: skip


@in_session
async def test_an_account_with_a_wrong_key_is_none(venue, session, told):
    def wrong(_):
        raise Refused({"code": 13004, "message": "invalid_credentials"})

    venue.on["private/get_account_summaries"] = wrong
    with pytest.raises(AccountNotFound, match="mend the account's key and secret"):
        await session.permissions()


@in_session
async def test_a_market_that_has_expired_is_asked_for_by_its_name(venue, session, told):
    """It is listed no more; what is booked of it needs its terms all the same."""

    def one(params):
        if params["instrument_name"] != OPTION["instrument_name"]:
            raise Refused({"code": 13020, "message": "not_found"})
        return {**OPTION, "is_active": False, "state": "closed"}

    venue.on["public/get_instruments"] = lambda _: [INSTRUMENT]
    venue.on["public/get_instrument"] = one
    mkt = await session.mkt_of("BTC-25DEC26-50000-C")
    assert (mkt.fqme, mkt.paid_in) == ("btc.20261225.50000c.deribit", "btc")
    assert (await find_market(mkt.fqme)).mkt == mkt
    for gone in ("btc.20261225.60000c.deribit", "ethusd.perp.deribit"):
        with pytest.raises(SymbolNotFound):
            await find_market(gone)
    with pytest.raises(SymbolNotFound):
        await session.mkt_of("BTC-25DEC26-60000-C")
