"""The order pane: for which account orders are, and how large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from piker.errors import UsageError
from piker.msgs import PAPER
from piker.ui._allocator import (
    UNITS,
    Allocator,
    parse_amount,
    parse_slots,
    plain,
    unit_name,
    with_unit,
)
from piker.ui._keys import lookup

from ._cells import Row, one_cell
from ._model import Model
from ._overlays import boxed
from ._palette import Palette
from ._taps import ERASES

_FIELDS: Final = ("account", "unit", "limit", "slots")
_MOST_TEXT: Final = 30
_HINT: Final = "up, down choose  left, right change  enter takes it  esc goes back"


class Form:
    """The order pane as an overlay: two fields that are chosen, two that are typed."""

    def __init__(self, model: Model, inks: Palette) -> None:
        """Begin with what is set."""
        self._model, self._inks = model, inks
        # another market may be shown meanwhile: what is set is meant for this one
        self._entry = model.entry
        self._alloc = self._entry.alloc
        self._texts = self._written()
        self._at, self._error = 2, ""
        self._is_fresh = True

    def _written(self) -> dict[str, str]:
        return {"limit": plain(self._alloc.limit), "slots": str(self._alloc.slots)}

    def press(self, combo: str, text: str) -> bool:
        """Take a key, and the text it types."""
        key = lookup("form", combo)
        if key is not None and key.action == "back":
            return True
        if key is not None and key.action == "apply":
            return self._apply()
        step = {"down": 1, "ctrl-i": 1, "up": -1, "shift-tab": -1}.get(combo)
        if step is not None:
            self._at, self._is_fresh = (self._at + step) % len(_FIELDS), True
        elif combo in {"left", "right", "space"}:
            self._turn(-1 if combo == "left" else 1)
        else:
            self._type(combo, text)
        return False

    def _type(self, combo: str, text: str) -> None:
        field = _FIELDS[self._at]
        if field not in self._texts:
            return
        old = self._texts[field]
        if combo in ERASES:
            self._texts[field] = old[:-1]
        elif text:
            # the first thing typed is meant in place of what stood there
            kept = "" if self._is_fresh else old
            self._texts[field] = (kept + one_cell(text))[:_MOST_TEXT]
        self._is_fresh = False

    def _turn(self, step: int) -> None:
        """Choose the next account, or unit."""
        field = _FIELDS[self._at]
        if field == "account":
            accounts = self._accounts()
            at = accounts.index(self._alloc.account) + step
            self._alloc = replace(self._alloc, account=accounts[at % len(accounts)])
        elif field == "unit":
            at = UNITS.index(self._alloc.unit) + step
            self._change_unit(at % len(UNITS))

    def _accounts(self) -> list[str]:
        """Return the accounts that orders for this market may be for."""
        broker = self._entry.market.flume.mkt.broker
        there = [
            name
            for name in self._model.session.trading.accounts
            if name == PAPER or name.partition(".")[0] == broker
        ]
        return list(dict.fromkeys((PAPER, *sorted(there), self._alloc.account)))

    def _change_unit(self, at: int) -> None:
        """Take another unit, the limit worth what it was."""
        market = self._entry.market
        mkt, last = market.flume.mkt, market.touch.last
        try:
            alloc = replace(self._alloc, limit=parse_amount(self._texts["limit"]))
            price = mkt.quantize(last, "price") if last > 0 else None
            self._alloc = with_unit(alloc, mkt, UNITS[at], price)
        except UsageError as err:
            self._error = str(err)
            return
        self._error, self._texts["limit"] = "", plain(self._alloc.limit)

    def _apply(self) -> bool:
        """Set what is written, if it can be meant."""
        try:
            limit = parse_amount(self._texts["limit"])
            slots = parse_slots(self._texts["slots"])
        except UsageError as err:
            self._error = str(err)
            return False
        alloc = Allocator(
            account=self._alloc.account,
            unit=self._alloc.unit,
            limit=limit,
            slots=slots,
        )
        self._model.set_alloc(self._entry, alloc)
        return True

    # -- rows -----------------------------------------------------------------------

    def rows(self, below: Sequence[Row], width: int, height: int) -> list[Row]:
        """Return the screen with the pane over it."""
        inks = self._inks
        values = {
            "account": one_cell(self._alloc.account),
            "unit": unit_name(self._alloc.unit, self._entry.market.flume.mkt),
            **self._texts,
        }
        lines: list[Row] = [((f"orders in {self._entry.market.fqme}", inks.title),)]
        for i, field in enumerate(_FIELDS):
            ink = inks.tag(inks.theme.line) if i == self._at else inks.panel
            if field == "account" and self._alloc.account != PAPER:
                ink = inks.tag(inks.theme.live)
            mark = ">" if i == self._at else " "
            shown = f" {values[field]:<{_MOST_TEXT}}"
            lines.append(((f"{mark} {field:<8}", inks.panel), (shown, ink)))
        bad = inks.on_panel(inks.theme.bad)
        lines += [((text, bad),) for text in _cut(self._error, width - 8)]
        lines.append(((_HINT, inks.panel_faint),))
        return boxed(below, lines, (width, height), inks)


def _cut(text: str, width: int) -> list[str]:
    return [text[at : at + width] for at in range(0, len(text), max(width, 1))]
