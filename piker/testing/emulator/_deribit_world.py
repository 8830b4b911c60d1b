"""All instruments of the emulated Deribit, and what moves them.

the tape's markets --> groups of series, by name
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ._core import Core
from ._deribit_family import Namer
from ._deribit_group import Group
from ._deribit_played import PlayedTape, Told
from ._deribit_replay import PlayedGroup
from ._deribit_said import Said, text
from ._deribit_series import Deal, Series
from ._listing import Listed, listings
from ._tape import Item, Market, Print

#: Of what may be asked for, besides those of what is listed.
_CURRENCIES: Final = ("BTC", "ETH", "USDC", "USDT", "EURR")


class World:
    """See the module.

    Args:
      core: whose tape it is.
      made_up: instruments to list besides those of the tape.

    Attributes:
      series: by name.
      currencies: what is listed under them.
      deliveries: of each index, the newest first.
    """

    def __init__(self, core: Core, made_up: int) -> None:
        self._core = core
        self.deliveries: dict[str, list[dict[str, Any]]] = {}
        self._ids: dict[str, Iterator[int]] = {}
        self.groups: dict[Market, Group | PlayedGroup] = {}
        self.series: dict[str, Series] = {}
        if isinstance(core.tape, PlayedTape):
            self._play(core.tape)
        else:
            self._list(core, made_up)
        found = [one for group in self.groups.values() for one in group.all]
        # stats and tests find them by name, as those of the tape
        core.tape.markets.update({one.inst.name: one.market for one in found})
        money = {one.inst.currency: None for one in self.series.values()}
        self.currencies = tuple(dict.fromkeys((*_CURRENCIES, *money)))
        for _ in self.catch_up():
            pass

    def _play(self, tape: PlayedTape) -> None:
        group = self.groups[tape.market] = PlayedGroup(tape)
        self.series = {one.inst.name: one for one in group.all}

    def _list(self, core: Core, made_up: int) -> None:
        # of each made-up base there are three markets, and one perpetual
        listed = listings(core.tape, made_up * 3)
        namer = Namer(core.clock_ns() // 1_000_000)
        perps = {one.base for one in listed if _is_perp(one)}
        for one in listed:
            if one.market is not None:
                has_perp = not _is_perp(one) and one.base in perps
                family = namer.family(one, _level(core, one.market), has_perp=has_perp)
                group = self.groups[one.market] = Group(one.market, family, self._ids)
                self.series |= {each.inst.name: each for each in group.all}
        for one in listed:
            if one.market is None and one.quote == "USDT":
                inst = namer.linear(one)
                self.series.setdefault(inst.name, Series(inst, None, 1, iter(())))

    def catch_up(self) -> Iterator[tuple[Series, list[Deal]]]:
        """Make deals of all that passed since the last time."""
        for group in self.groups.values():
            yield from group.catch_up()

    def follow(self, item: Item) -> list[tuple[Series, list[Deal]]]:
        """Make deals of an item that has just passed, and of what did before it."""
        if isinstance(item, Print | Told):
            return list(self.groups[item.market].catch_up())
        return []

    def find(self, params: dict[str, Any], name: str = "instrument_name") -> Series:
        """Return the instrument that is asked for; raises Said."""
        found = self.series.get(text(params, name))
        if found is None:
            raise Said(13020, "not_found", {"reason": "instrument not found",
                                            "param": name})  # fmt: skip
        return found

    def index(self, name: str) -> float:
        """Return a price index as it is; raises Said."""
        for one in self.series.values():
            if one.inst.index == name and one.source is not None:
                return one.index_now()
        raise Said(13020, "not_found")


def _is_perp(one: Listed) -> bool:
    return one.market is not None and one.market.mkt.expiry == "perp"


def _level(core: Core, market: Market) -> float:
    """Return about what a market trades at, whether or not it has begun."""
    if market.prints:
        return market.prints[-1].price
    for item in core.tape.items:
        if item.market is market and isinstance(item, Print):
            return item.price
    return 1.0
