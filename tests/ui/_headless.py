"""The terminal chart run headless, with markets and orders that need no tree."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import ClassVar
from unittest.mock import patch

from textual import events
from textual.keys import _character_to_key

from piker.data import Found
from piker.errors import VenueUnreachable
from piker.msgs import Match
from piker.ui._tui import _app
from piker.ui._tui._app import ChartApp
from piker.ui._tui._model import Model
from piker.ui._tui._taps import help_groups
from tests.ui import _fakes

#: Told in the overlay, and no key.
BY_MOUSE = {"wheel", "wheel on the prices", "drag", "click", "drag a line"}

BTC = _fakes.BTC


def model_of(mode="paper", *, others=(), is_busy=True):
    """Return a model of a market with orders, and another one in the watchlist."""
    market = _fakes.fake_market()
    eth = _fakes.fake_market(_fakes.coin("eth"), seed=3, price=2500.0)
    session = _fakes.fake_session(market, eth, mode=mode)
    model = Model(session, _fakes.FakeLink(session, *others), market)
    model.watch(eth)
    if is_busy:
        _fakes.busy(session.trading._client, market, session.trading._fills)
    return model


def drive(script, *, model=None, size=(80, 24), draw_s=0.002):
    """Run the app headless, and a script with it: ``script(pilot, app, model)``.

    Pictures come every *draw_s* seconds at most.
    """
    model = model or model_of()

    async def main():
        app = ChartApp()
        async with app.run_test(size=size) as pilot:
            app.attach(model)
            await drawn(app)
            await script(Pilot(pilot), app, model)

    with patch.object(_app, "DRAW_S", draw_s):
        asyncio.run(main())


async def drawn(app):
    """Wait until what was asked for is on the screen."""
    draws = app.draws
    app.ask_draw()
    while app.draws == draws and not app._exit:
        await asyncio.sleep(0.005)


class Pilot:
    """Sends keys by their combos, as the driver of a terminal does."""

    NAMED: ClassVar = {
        "esc": ("escape", "\x1b"),
        "enter": ("enter", "\r"),
        "tab": ("tab", "\t"),
    }

    def __init__(self, pilot):
        self._pilot = pilot
        self.app = pilot.app

    async def send(self, combo):
        """Send a key; wait until it is taken."""
        name, character = self.NAMED.get(combo, (combo.replace("-", "+"), None))
        if len(combo) == 1:
            name, character = _character_to_key(combo), combo
        taken, pressed = asyncio.Event(), self.app.pressed
        self.app.pressed = lambda *args: (pressed(*args), taken.set())
        self.app.post_message(events.Key(name, character))
        await taken.wait()
        self.app.pressed = pressed

    async def press(self, *combos):
        for combo in combos:
            await self.send(combo)
        await drawn(self.app)

    async def mouse(self, what, x, y, button=1):
        """Have the mouse do something at a cell of the screen."""
        way = {"down": "mouse_down", "up": "mouse_up", "move": "hover"}
        how = {"button": button} if what == "down" else {}
        await getattr(self._pilot, way[what])(offset=(x, y), **how)
        await drawn(self.app)

    async def click(self, x, y):
        await self.mouse("down", x, y)
        await self.mouse("up", x, y)

    async def type(self, text):
        await self.press(*text)


def screen(app):
    """Return what is on the screen, as the canvas gives it to textual."""
    rows = range(app.size.height)
    return "\n".join(
        "".join(part.text for part in app._canvas.render_line(y)) for y in rows
    )


def row_of(app, model, price):
    """Return the row of the screen that a price of the chart is in."""
    return app.frame.chart.y + model.look.row_of(Decimal(price))


def left_of(model):
    """Return how far the left edge is from where it is at first, in bars."""
    view = model.look.chart.view
    return view.right - (300 - 0.5 + 3)


def told():
    """Yield each key that the overlay tells for the chart and for orders."""
    for group in help_groups()[:2]:
        for row in group.rows:
            for combo in row.keys.split(" or "):
                if combo not in BY_MOUSE:
                    yield combo


def matches(*names):
    return Found(
        [
            Match(fqme=name, kind="crypto", score=90.0, description="it")
            for name in names
        ],
        {"kraken": VenueUnreachable("kraken is away")},
    )
