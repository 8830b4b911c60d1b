"""What is said of orders that nobody looks after, and what a user is told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from piker.clearing import maybe_spawn_emsd, orders_left
from piker.clearing._dialog import Dialog
from piker.clearing._farewell import is_in_memory, left_text, notice_of
from piker.msgs import EmsState, Status
from piker.service import current_services
from tests.clearing._orders import D, order
from tests.clearing._trade import BTC, CONF, order as live_order, price_now, trading


def dialog(state, oid="o", **but) -> Dialog:
    return Dialog(order=order(oid=oid, **but), state=state, born_ns=1)


def test_what_is_left_is_said_in_a_sentence():
    assert left_text([]) == ""
    assert left_text([dialog("dark")]) == "1 dark order or alert is no longer watched"
    assert left_text([dialog("dark"), dialog("dark"), dialog("open")]) == (
        "2 dark orders or alerts are no longer watched; 1 order waits at paperboi.sim"
    )
    live = dialog("open", account="kraken.main")
    assert left_text([live]) == "1 order stays resting at kraken"
    assert left_text([live, live]) == "2 orders stay resting at kraken"


def state(unwatched=None) -> EmsState:
    return EmsState(time_ns=1, halted="", down={}, unwatched=unwatched or {})


def status(resp, **but) -> Status:
    told = {"seq": 1, "req": order(exec_mode="dark"), "trigger_price": D("99")}
    return Status(time_ns=1, oid="o", resp=resp, **told | but)


@pytest.mark.parametrize(
    ("msg", "told", "title"),
    [
        (status("triggered"), None, "dark buy sent"),
        (status("triggered", req=order(action="alert")), None, "alert"),
        (status("triggered", seq=0), None, None),
        (status("dark_open"), None, None),
        (status("dark_open", reason="its price was reached while"), None, "missed"),
        (status("error", reason="too large"), None, "refused"),
        (status("error", req=order()), None, None),
        (status("fill"), None, None),
        (state(), None, None),
        (state({"x": "gone"}), None, "aren't watched"),
        (state({"x": "gone"}), state({"x": "gone"}), None),
        (state({"x": "gone"}), state(), "aren't watched"),
    ],
)
def test_a_user_is_told_what_is_worth_a_look(msg, told, title):
    found = notice_of(msg, told)
    assert (found is None) == (title is None)
    if found is not None:
        assert title in found[0]


def test_memory_is_told_from_a_disk(tmp_path):
    assert is_in_memory(Path("/dev/shm/x"))
    assert not is_in_memory(Path("/usr/lib"))


@pytest.mark.tree
async def test_a_user_hears_of_alerts_and_of_an_emsd_that_is_stopped(
    open_test_pikerd, tmp_path
):
    said = tmp_path / "said"
    script = tmp_path / "notify.py"
    script.write_text(
        f"import sys; open({str(said)!r}, 'a').write('|'.join(sys.argv[1:]) + chr(10))"
    )
    words = [sys.executable, str(script), "{title}", "{text}"]
    conf = f"[clearing]\nnotify = {words!r}\n" + CONF

    async def heard(text):
        with trio.fail_after(40):
            while not said.exists() or text not in said.read_text():
                await trio.sleep(0.1)

    async with open_test_pikerd(conf=conf, deadline_s=100):
        async with trading() as me:
            now = await price_now()
            near = [
                live_order(now + D("0.01") * by, action="alert", size="0")
                for by in (1, -1)
            ]
            far = live_order(now - 600, exec_mode="dark")
            for one in (*near, far):
                await me.client.send(one)
            await me.fire(near[0].oid)
            await heard(f"{BTC} reached ")
            async with maybe_spawn_emsd():
                await current_services().cancel_service("emsd")
            await heard("aren't looked after")
            assert "no longer watched" in said.read_text()
        assert "no longer watched" in orders_left()
