"""trio as a guest of Textual, and how the terminal chart is started."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest
import trio

from piker.errors import (
    BadFqme,
    BrokerNotFound,
    SymbolNotFound,
    UsageError,
)
from piker.ui._tui import run_tui
from piker.ui._tui._guest import HostApp, run
from piker.ui._tui._run import _own_name
from tests.ui._headless import (
    BTC,
)

# -- trio as a guest ------------------------------------------------------------------


def hosted(work, app=None):
    return run(app or HostApp(), work, headless=True, size=(80, 24))


def test_what_the_work_returns_is_returned():
    async def work():
        await trio.sleep(0.05)
        return 7

    assert hosted(work) == 7


def test_an_error_of_the_work_comes_out_as_it_was():
    async def work():
        await trio.sleep(0.05)
        raise SymbolNotFound("no market 'x'")

    with pytest.raises(SymbolNotFound, match="no market 'x'"):
        hosted(work)


def test_work_that_fails_at_once_shows_no_screen():
    async def work():
        raise SymbolNotFound("no market 'x'")

    with pytest.raises(SymbolNotFound):
        hosted(work)


def test_an_app_that_ends_cancels_the_work():
    app, said = HostApp(), []

    async def work():
        try:
            app.call_later(app.exit)
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.02)
            said.append("ended")

    assert hosted(work, app) is None
    assert said == ["ended"]


def test_an_error_of_the_app_comes_out_as_it_was():
    app = HostApp()

    async def work():
        await trio.sleep(0.05)
        app.call_later(lambda: 1 / 0)
        await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        hosted(work, app)


@pytest.mark.parametrize(
    ("sign", "error"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)],
)
def test_a_signal_ends_both_in_order(sign, error):
    said = []

    async def work():
        try:
            os.kill(os.getpid(), sign)
            await trio.sleep_forever()
        finally:
            said.append("ended")

    before = signal.getsignal(sign)
    with pytest.raises(error):
        hosted(work)
    assert said == ["ended"]
    assert signal.getsignal(sign) == before


# -- how it is started ----------------------------------------------------------------


def test_what_can_not_be_meant_starts_nothing(monkeypatch):
    monkeypatch.setattr(sys, "__stdin__", io.StringIO())
    addr = ("127.0.0.1", 1)
    for fqmes, how, error, words in (
        ((), {}, UsageError, "name a market"),
        (("btcusdt.spot.nope",), {}, BrokerNotFound, "no broker 'nope'"),
        (("bad..sim",), {}, BadFqme, "bad..sim"),
        ((BTC,), {"indicators": ["ema:x"]}, UsageError, "ema"),
        ((BTC,), {"period_s": 0}, UsageError, "period"),
        ((BTC,), {}, UsageError, "terminal"),
    ):
        with pytest.raises(error, match=words):
            run_tui(addr, fqmes, **how)


def test_without_textual_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    with pytest.raises(UsageError, match="pip install"):
        run_tui(None, [BTC])


def test_each_terminal_logs_to_a_file_of_its_own(tmp_path):
    with _own_name(tmp_path) as one, _own_name(tmp_path) as two:
        assert (one, two) == ("chart", "chart-2")
    with _own_name(tmp_path) as again:
        assert again == "chart"
