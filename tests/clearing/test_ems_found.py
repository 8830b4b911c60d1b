"""Faults of emsd that its use from a terminal brought to light."""

from __future__ import annotations

from decimal import Decimal

import pytest
import trio

from piker.clearing import halt, open_ems, resume
from piker.clearing._dialog import Dialog, Happening
from piker.clearing._dialog_rules import step
from piker.clearing._journal import open_journal
from piker.clearing._router import Origin, Outlets, Router
from piker.errors import UsageError
from piker.msgs import Cancel, Error, Order

ORDER = Order(
    oid="o1",
    action="buy",
    symbol="btcusdt.spot.sim",
    size=Decimal(3),
    price=Decimal(10),
)


@pytest.fixture
def router(tmp_path):
    with open_journal(tmp_path / "ems" / "journal.sqlite") as journal:
        yield Router(journal, Outlets(request=lambda *_: None, tell=lambda _: None))


def test_a_cancel_of_an_unknown_order_names_it(router):
    errors: list[Error] = []
    router.command(Cancel(oid="nobody"), Origin(errors.append))
    assert [(err.oid, err.request) for err in errors] == [("nobody", "cancel")]
    assert "no order 'nobody'" in errors[0].reason


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_halt_without_a_reason_halts(router, reason):
    router.halt(reason)
    assert router.halted == "by command"
    again = Router(router.journal, router.outlets)
    assert again.halted == "by command"  # it outlives emsd
    router.resume()
    assert not router.halted


@pytest.mark.parametrize("why", ["it has expired", "the exchange burns"])
def test_an_order_that_emsd_ended_says_why_emsd_did(why):
    dialog = Dialog(
        order=ORDER, state="open", born_ns=1, limit=Decimal(10), was_open=True
    )
    kind = "expire" if why == "it has expired" else "cancel"
    asked = step(dialog, Happening(kind=kind, reason=why)).dialog
    ended = step(asked, Happening(kind="gone", reason="canceled by request"))
    assert ended.dialog.state == "canceled"
    assert ended.acts[-1].reason == why
    user = step(dialog, Happening(kind="cancel")).dialog
    ended = step(user, Happening(kind="gone", reason="canceled by request"))
    assert ended.acts[-1].reason == "canceled by request"


@pytest.mark.tree
async def test_a_live_session_that_can_not_be_leaves_no_trouble(open_test_pikerd):
    async with open_test_pikerd():
        with pytest.raises(UsageError, match="takes no live orders"):
            async with open_ems("btcusdt.spot.sim", "live"):
                pass
        async with open_ems() as (client, *_):
            assert client.state.down == {}


@pytest.mark.tree
async def test_halt_and_resume_are_told_to_who_is_there(open_test_pikerd):
    async with open_test_pikerd(), open_ems() as (client, *_):
        state = await halt("the exchange burns")
        assert state.halted == "the exchange burns"
        with trio.fail_after(10):
            while client.state.halted != "the exchange burns":
                await trio.sleep(0.01)
            assert (await resume()).halted == ""
            while client.state.halted:
                await trio.sleep(0.01)
