"""Subscriptions at the emulated Deribit: who hears which channels, also of accounts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ._accounts import Account
from ._deribit_channels import Channels
from ._deribit_margin import Margins
from ._deribit_rpc import notification
from ._deribit_said import Said, wrong
from ._deribit_told import summary
from ._deribit_user import Teller, parse_user
from ._deribit_world import World
from ._exchange import Event
from ._private import PrivateSide
from ._ws import Connection


class Then(NamedTuple):
    """A result, and what begins once it is told."""

    result: Any
    begin: Callable[[], None]


class Subscriptions:
    """See the module.

    Args:
      side: that knows who hears of which account.
      world: instruments.
      channels: of the market.
      margins: what there is to tell of accounts.
    """

    def __init__(
        self, side: PrivateSide, world: World, channels: Channels, margins: Margins
    ) -> None:
        self._side, self._world, self._channels = side, world, channels
        self._margins, self._teller = margins, Teller(margins, world)

    def subscribe(
        self, conn: Connection, params: dict[str, Any], account: Account | None,
        *, is_private: bool,
    ) -> Then:  # fmt: skip
        """Have *conn* hear channels; those that there are not are left out.

        Args:
          conn: who asks.
          params: of the request.
          account: whose it is, None if nobody's.
          is_private: channels of accounts may be asked for.
        """
        names = _names(params)
        taken = []
        for name in names:
            if is_private and parse_user(self._world, name) is not None:
                taken.append(name)
            channel = self._channels.find(name)
            if channel is None:
                continue
            if channel.needs_key and account is None:
                raise Said(13778, "raw_subscriptions_not_available_for_unauthorized")
            taken.append(name)
        return Then(taken, partial(self._begin, conn, taken, account))

    def _begin(
        self, conn: Connection, names: list[str], account: Account | None
    ) -> None:
        for name in names if not conn.is_closing else ():
            channel = self._channels.find(name)
            if channel is not None:
                self._channels.subscribe(conn, channel)
            elif account is not None:
                self._side.core.subscribe(conn, name)
                if not self._side.hears(conn, account.name):
                    self._side.listen(conn, account.name, partial(self._tell, conn))

    def _tell(self, conn: Connection, event: Event) -> None:
        """Tell a connection of an event, by each channel that it asked for."""
        for name in tuple(conn.streams):
            channel = parse_user(self._world, name)
            if channel is not None:
                for data in self._teller.tell(channel, event):
                    conn.say(notification(name, data))

    def unsubscribe(self, conn: Connection, params: dict[str, Any]) -> list[str]:
        """Have *conn* no longer hear channels; return which it did."""
        names = [name for name in _names(params) if name in conn.streams]
        for name in names:
            self._side.core.unsubscribe(conn, name)
        return names

    def unsubscribe_all(self, conn: Connection) -> str:
        """Have *conn* hear nothing."""
        for name in list(conn.streams):
            self._side.core.unsubscribe(conn, name)
        return "ok"

    def tell_money(self, conn: Connection, account: str, currency: str) -> None:
        """Tell a connection what an account has, if it asked for that."""
        for name in tuple(conn.streams):
            channel = parse_user(self._world, name)
            if channel is not None and channel.what == "portfolio" and (
                channel.currency in ("any", currency)
            ):  # fmt: skip
                told = summary(self._margins, account, currency)
                conn.say(notification(name, told))


def _names(params: dict[str, Any]) -> list[str]:
    names = params.get("channels")
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise wrong("channels", "value required" if names is None else "wrong format")
    return list(dict.fromkeys(names))
