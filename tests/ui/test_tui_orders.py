"""Orders, the mouse, the search and the order pane of the terminal chart."""

from __future__ import annotations

from decimal import Decimal

from piker.data import Found
from piker.errors import (
    SymbolNotFound,
)
from piker.msgs import Match
from piker.ui._allocator import Allocator
from piker.ui._order_events import (
    Submit,
)
from piker.ui._tui._finder import Finder
from piker.ui._tui._overlays import Question
from piker.ui._tui._palette import palette
from tests.ui import _fakes
from tests.ui._headless import (
    BTC,
    drawn,
    drive,
    left_of,
    matches,
    model_of,
    row_of,
    screen,
)

# -- orders ---------------------------------------------------------------------------


def test_what_is_staged_is_sent_at_the_cursor():
    async def script(pilot, app, model):
        await pilot.press("f", "down", "down", "shift-down")
        cursor = model.entry.mode.cursor
        assert cursor % 1 == Decimal("0.99")  # a round price, less a tick
        assert f"at {cursor}" in screen(app)
        await pilot.press("enter")
        (intent,) = model.link.done
        order = intent.order
        assert (order.action, order.exec_mode, order.price) == ("buy", "dark", cursor)
        assert order.account == "paper"
        assert " view " in screen(app)

    drive(script)


def test_live_is_asked_for_each_time():
    async def script(pilot, app, model):
        await pilot.press("f", "s", "enter", "f", "enter", "d", "s", "f", "enter")
        modes = [(each.order.action, each.order.exec_mode) for each in model.link.done]
        assert modes == [("buy", "live"), ("buy", "dark"), ("buy", "dark")]

    drive(script)


def test_a_real_live_order_is_asked_about():
    model = model_of("live")
    trading = model.session.trading
    trading._client.accounts = ("paper", "sim.main")
    model.set_alloc(model.entry, Allocator(account="sim.main"))

    async def script(pilot, app, model):
        await pilot.press("f", "s")
        assert "sim.main, real money" in screen(app)
        await pilot.press("enter", "enter", "enter", "f", "space")
        assert model.link.done == []
        assert isinstance(app.overlay, Question)
        assert "sim.main?" in screen(app)
        await pilot.press("n")
        assert (app.overlay, model.link.done) == (None, [])
        await pilot.press("f", "s", "enter", "y")
        (intent,) = model.link.done
        assert (intent.order.account, intent.order.exec_mode) == ("sim.main", "live")

    drive(script, model=model)


def test_an_order_is_picked_up_moved_and_put_down():
    async def script(pilot, app, model):
        await pilot.press("m", "m", "m", "e", "down", "down")
        (line,) = (each for each in model.entry.desk().lines if each.what == "buy")
        assert model.link.done == []
        assert screen(app).count("buy paper") >= 2  # its label, and what it would be
        await pilot.press("enter")
        (change,) = model.link.done
        assert (change.oid, change.price < line.price) == (line.oid, True)

    drive(script)


def test_nudges_go_on_from_where_the_last_one_sent_it():
    async def script(pilot, app, model):
        await pilot.press("m", "m", "m", "-", "-", "-")
        prices = [each.price for each in model.link.done]
        assert len(prices) == 3
        assert prices == sorted(set(prices), reverse=True)

    drive(script)


def test_nothing_is_done_where_nothing_is_under_the_cursor():
    async def script(pilot, app, model):
        await pilot.press("e", "+", "c", "enter", "s")
        assert model.link.done == []
        assert "no order is under the cursor" in screen(app)
        assert "nothing is staged" in screen(app)

    drive(script, model=model_of(is_busy=False))


def test_another_market_lets_go_of_what_was_staged():
    async def script(pilot, app, model):
        await pilot.press("f", ".", "enter")
        assert model.link.done == []
        await pilot.press(",", "enter")
        assert model.link.done == []

    drive(script)


# -- the mouse ------------------------------------------------------------------------


def test_the_mouse_points_and_submits():
    async def script(pilot, app, model):
        await pilot.press("f")
        model.is_by_keys = False
        y = app.frame.chart.y + 2
        await pilot.mouse("move", 30, y)
        cursor = model.entry.mode.cursor
        assert model.look.row_of(cursor) == 2
        await pilot.click(30, y)
        (intent,) = model.link.done
        assert intent.order.price == cursor

    drive(script)


def test_a_mouse_that_is_touched_moves_nothing_that_keys_placed():
    async def script(pilot, app, model):
        await pilot.press("f", "down")
        cursor = model.entry.mode.cursor
        await pilot.mouse("move", 30, app.frame.chart.y + 1)
        await pilot.mouse("move", 31, app.frame.chart.y + 2)
        assert model.entry.mode.cursor == cursor
        await pilot.click(31, app.frame.chart.y + 1)  # moves it there, no more
        assert model.link.done == []
        assert model.entry.mode.cursor != cursor
        await pilot.click(31, app.frame.chart.y + 1)
        assert isinstance(model.link.done[0], Submit)

    drive(script)


def test_a_line_is_dragged():
    async def script(pilot, app, model):
        (line,) = (each for each in model.entry.desk().lines if each.what == "sell")
        y = row_of(app, model, line.price)
        await pilot.mouse("down", 30, y)
        await pilot.mouse("move", 30, y - 2)
        assert " move-sell " in screen(app)
        await pilot.mouse("up", 30, y - 2)
        (change,) = model.link.done
        assert (change.oid, change.price > line.price) == (line.oid, True)
        await pilot.click(30, row_of(app, model, line.price))  # a click moves nothing
        assert len(model.link.done) == 1

    drive(script)


def test_the_chart_is_dragged_and_zoomed():
    async def script(pilot, app, model):
        y = app.frame.chart.y + 12
        await pilot.mouse("down", 30, y)
        await pilot.mouse("move", 40, y)
        await pilot.mouse("up", 40, y)
        assert left_of(model) == -10
        app._mouse.take("wheel-up", (30, y), 0, app.frame)
        assert model.look.zoom.scale.cells == 2
        app._mouse.take("wheel-down", (78, y), 0, app.frame)
        assert not model.look.chart.view.fits

    drive(script, model=model_of(is_busy=False))


def test_a_market_of_the_watchlist_is_clicked():
    async def script(pilot, app, model):
        area = app.frame.watchlist
        await pilot.click(area.x + 5, area.y + 2)
        assert model.market.fqme == "ethusdt.spot.sim"
        assert " ethusdt.spot.sim  1m" in screen(app)

    drive(script)


# -- search ---------------------------------------------------------------------------


def test_search_finds_and_shows_a_market():
    sol = _fakes.fake_market(_fakes.coin("sol"), price=150.0)
    model = model_of(others=[sol])
    model.link.found = matches(
        "solusdt.spot.sim", "soleur.spot.sim", "sol.spot.binance"
    )

    async def script(pilot, app, model):
        await pilot.press("ctrl-l")
        assert "btcusdt.spot.sim" in screen(app)  # what is open
        await pilot.type("sol x")
        await pilot.press("backspace", "backspace")
        assert model.link.sought[-1] == "sol"
        text = screen(app)
        assert "kraken: kraken is away" in text
        assert text.index(" sim ") < text.index("soleur") < text.index(" binance ")
        await pilot.press("ctrl-j", "ctrl-d")
        assert app.overlay.items()[app.overlay.at].fqme == "sol.spot.binance"
        await pilot.press("ctrl-u", "ctrl-k", "ctrl-down", "ctrl-up", "enter")
        assert app.overlay is None
        assert model.market is sol
        assert [each.fqme for each in model.watched][-1] == sol.fqme
        assert model.link.watched[sol.fqme]

    drive(script, model=model)


def test_search_can_be_left_and_typed_anew():
    async def script(pilot, app, model):
        await pilot.press("ctrl-l")
        await pilot.type("eth")
        await pilot.press("ctrl-l")
        await pilot.type("b")
        assert app.overlay.text == "b"
        app.on_paste(PasteOf("tc\nusdt"))
        assert app.overlay.text == "btc usdt"
        for key in ("esc", "ctrl-c", "ctrl-space"):
            app.overlay = Finder(model, palette("dark"))
            await pilot.press(key)
            assert app.overlay is None
        assert model.market.fqme == BTC

    drive(script)


class PasteOf:
    def __init__(self, text):
        self.text = text

    def stop(self):
        pass


def test_what_a_broker_found_is_shown_while_others_are_waited_for():
    model = model_of()
    near = [Match(fqme=f"btc{x}.spot.sim", kind="crypto", score=50.0) for x in "ab"]
    far = Match(fqme="btc.spot.kraken", kind="crypto", score=90.0)
    model.link.found = Found(near, {}, ("kraken",))

    async def script(pilot, app, model):
        await pilot.press("ctrl-l")
        await pilot.type("btc")
        shown = screen(app)
        assert "looking at kraken ..." in shown
        assert "btcb.spot.sim" in shown
        names = [item.fqme for item in app.overlay.items()]
        for _ in range(names.index("btcb.spot.sim")):
            await pilot.press("down")
        app.overlay._take(Found([far, *near], {}))
        item = app.overlay.items()[app.overlay.at]
        assert item.fqme == "btcb.spot.sim", "chosen by hand"
        await drawn(app)
        assert "looking" not in screen(app)

    drive(script, model=model)


def test_a_name_that_leads_nowhere_is_told_and_nothing_else_changes():
    model = model_of()
    model.link.found = SymbolNotFound("no market 'nope'")

    async def script(pilot, app, model):
        await pilot.press("ctrl-l")
        await pilot.type("nope")
        assert "no market 'nope'" in screen(app)
        await pilot.press("enter")
        assert "no market 'nope'" in screen(app)
        assert model.market.fqme == BTC

    drive(script, model=model)


# -- the pane -------------------------------------------------------------------------


def test_the_pane_sets_account_limit_and_slots():
    model = model_of()
    model.session.trading._client.accounts = ("paper", "sim.main", "kraken.main")

    async def script(pilot, app, model):
        await pilot.press("p")
        await pilot.type("2.5k")
        await pilot.press("down")
        await pilot.type("x")
        await pilot.press("enter")
        assert "slots are a whole number" in screen(app)
        await pilot.press("backspace", "8", "down", "right")
        assert "sim.main" in screen(app)
        await pilot.press("enter")
        alloc = model.entry.alloc
        assert (alloc.account, alloc.limit, alloc.slots) == ("sim.main", 2500, 8)
        assert "real money" in screen(app)
        await pilot.press("p", "up", "right")
        assert "# units" in screen(app)
        await pilot.press("esc")
        assert model.entry.alloc == alloc

    drive(script, model=model)
