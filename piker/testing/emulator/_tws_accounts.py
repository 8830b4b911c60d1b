"""Accounts of an emulated TWS: what tests open and look into, and its limits.

Control paths besides those of `Accounts`::

    POST /_emulator/limits {"history": 5, "identical_s": 0.5}   see `Limits`
    GET  /_emulator/permit?symbol=TSLA&code=354     ``*``: all; 0: it is told again
    GET  /_emulator/takes?history_s=0.2                         of answers
    GET  /_emulator/master?client_id=7       is told of everybody's orders; -1: nobody
    GET  /_emulator/close                    the day ends, and its orders with it
    GET  /_emulator/old?on=1                 cancels are refused by 135 and 136
    GET  /_emulator/contracts                what is listed
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ._accounts import Account, Accounts
from ._exchange import Event, Refused, Rules
from ._tws_kinds import Listed
from ._tws_margin import Commissions, MarginExchange
from ._tws_market import DENIED
from ._tws_pacing import Limits

if TYPE_CHECKING:
    from ._tws import Tws

#: The account that is there if a test opens none.
USUAL: Final = Account(
    name="DU1000001", key="DU1000001", secret="", money={"USD": Decimal(1_000_000)}
)
_MOST: Final = Decimal(10_000_000)


@dataclass(eq=False)
class TwsAccounts(Accounts):
    """All accounts of one login; see `Accounts`.

    Attributes:
      venue: whose.
      margin: the exchange.
      held: events of a request that is answered later, None: they are told at once.
      muted: what isn't told of a request that is never answered.
    """

    venue: Tws | None = None
    margin: MarginExchange = field(init=False)
    held: list[Event] | None = None
    muted: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        fees = Commissions()
        self.margin = MarginExchange(self._heard, self.now_ms, fees)
        self.margin.listed = fees.listed = {}
        self.exchange = self.margin

    def list_contracts(self, listed: dict[str, Listed]) -> None:
        """List contracts, by the names that the exchange knows them by."""
        fees = self.margin.fees
        assert isinstance(fees, Commissions), "it was made here"
        self.margin.listed = listed
        for key, one in listed.items():
            base = one.symbol if one.sec_type == "CASH" else key
            fees.listed[base] = one
            self.margin.list_market(
                Rules(
                    symbol=key, base=base, quote=one.currency, tick=one.tick,
                    step=one.step, least=one.step, most=_MOST, notional=Decimal(0),
                    max_price=Decimal(10_000_000),
                )
            )  # fmt: skip

    @property
    def names(self) -> list[str]:
        """Names of all accounts; the usual one is opened if there is none."""
        if not self.keys:
            self._open(USUAL)
        return list(dict.fromkeys(one.name for one in self.keys.values()))

    def _heard(self, event: Event) -> None:
        assert self.venue is not None, "the venue made it"
        self.venue.teller.note(event)
        if event.what in self.muted:
            return
        if self.held is not None:
            self.held.append(event)
        else:
            self._told(event)

    def tell_held(self, events: list[Event]) -> None:
        """Tell events that were held back."""
        for event in events:
            self._told(event)

    def _open(self, account: Account) -> dict[str, Any]:
        told = super()._open(account)
        assert self.venue is not None, "the venue made it"
        if account.name not in self.hears:
            self.hears[account.name] = [self.venue.teller.hear]
        self.venue.books_of.changed(account.name)
        return told

    # -- control ------------------------------------------------------------------

    def control(self, what: str, query: dict[str, str], body: bytes) -> Any:
        """See `Accounts`; a number that is none is refused too."""
        try:
            return self._control(what, query, body)
        except msgspec.MsgspecError:
            raise
        except (ArithmeticError, TypeError, ValueError) as error:
            raise Refused("unknown", str(error)) from None

    def _control(  # noqa: C901 - a table of paths
        self, what: str, query: dict[str, str], body: bytes
    ) -> Any:
        venue = self.venue
        assert venue is not None, "the venue made it"
        match what:
            case "limits":
                told = msgspec.to_builtins(venue.limits) | msgspec.json.decode(body)
                limits = msgspec.convert(told, Limits)
                for name in told:
                    setattr(venue.limits, name, getattr(limits, name))
            case "permit":
                code = int(query.get("code", "0"))
                if code and code not in DENIED:
                    raise Refused("unknown", f"no such refusal: {code}")
                symbol = query["symbol"]
                some = venue.listing.all() if symbol == "*" else [self._listed(symbol)]
                for one in some:
                    venue.market_data.deny(one, code)
            case "old":
                venue.desk.is_old = query.get("on") != "0"
            case "takes":
                venue.history.takes_s = max(0.0, float(query["history_s"]))
            case "master":
                venue.teller.master = int(query["client_id"])
            case "close":
                venue.desk.close()
            case "contracts":
                return [_told(one) for one in venue.listing.all()]
            case _:
                return super().control(what, query, body)
        return {}

    def _place(self, asked: Any) -> dict[str, Any]:
        assert self.venue is not None, "the venue made it"
        self._listed(asked.symbol)
        ticket = self.venue.desk.place_by_hand(asked)
        return {
            "serial": ticket.order.serial if ticket.order else 0,
            **ticket.to_dict(),
        }

    def _look(self, name: str) -> dict[str, Any]:
        assert self.venue is not None, "the venue made it"
        found = super()._look(name)
        tickets = self.venue.teller.tickets
        for row in found["orders"]:
            ticket = tickets.get(int(row["cl_id"] or 0))
            row.update(ticket.to_dict() if ticket else {})
        return found

    def _listed(self, symbol: str) -> Listed:
        assert self.venue is not None, "the venue made it"
        if symbol not in self.venue.listing.by_key:
            raise Refused("symbol", f"no contract {symbol!r}")
        return self.venue.listing.by_key[symbol]


def _told(one: Listed) -> dict[str, Any]:
    return {
        "key": one.key, "con_id": one.con_id, "symbol": one.symbol,
        "sec_type": one.sec_type, "exchange": one.exchanges[0],
        "currency": one.currency, "expiry": one.expiry, "is_live": bool(one.market),
    }  # fmt: skip
