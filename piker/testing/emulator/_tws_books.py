"""What clients are told of accounts: values, portfolios, positions.

    reqAccountUpdates, reqAccountUpdatesMulti, reqAccountSummary, reqPositions

By https://interactivebrokers.github.io/tws-api/{account_updates,account_summary,
positions}.html. TWS tells changes every three minutes, and positions as they change;
here both are told with each trade.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from ._tws_contracts import row_of
from ._tws_fields import Fields
from ._tws_margin import MarginExchange, kept

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

_CENT: Final = Decimal("0.01")
_BASE: Final = "USD"


@dataclass
class Books:
    """Tells of accounts."""

    venue: Tws

    @property
    def _margin(self) -> MarginExchange:
        return self.venue.accounts.margin

    # -- values -------------------------------------------------------------------

    def values(self, account: str) -> Iterator[tuple[str, str, str]]:
        """Yield tag, value and currency of all that is told of an account."""
        margin = self._margin
        worth, used = margin.worth(account), margin.used(account)
        kinds = margin.currencies(account)
        cash = sum(margin.cash(account, one) * margin.rate(one) for one in kinds)
        yield "AccountCode", account, ""
        yield "AccountReady", "true", ""
        yield "AccountType", "INDIVIDUAL", ""
        for tag, amount in (
            ("NetLiquidation", worth), ("EquityWithLoanValue", worth),
            ("TotalCashValue", cash),
            ("InitMarginReq", used), ("MaintMarginReq", kept(used)),
            ("AvailableFunds", worth - used), ("ExcessLiquidity", worth - kept(used)),
            ("BuyingPower", (worth - used) * 4),
        ):  # fmt: skip
            yield tag, _money(amount), _BASE
        for kind in kinds:
            held = margin.positions.get(account, {})
            mine = [key for key in held if margin.listed[key].currency == kind]
            realized = sum(held[key].realized for key in mine)
            gains = sum(margin.open_profit(account, key) for key in mine)
            yield "Currency", kind, kind
            yield "CashBalance", _money(margin.cash(account, kind)), kind
            worth = margin.worth_in(account, kind)
            yield "NetLiquidationByCurrency", _money(worth), kind
            yield "RealizedPnL", _money(realized), kind
            yield "UnrealizedPnL", _money(gains), kind
            yield "ExchangeRate", str(round(margin.rate(kind), 6)), kind

    def updates(self, session: Session, fields: Fields) -> None:
        """Do ``reqAccountUpdates``."""
        is_begin, account = fields.skip().flag(), fields.text()
        if not is_begin:
            session.updates = ""
            return
        account = account or self.venue.accounts.names[0]
        if account not in self.venue.accounts.names:
            text = "Error validating request.-'bH' : cause - The account code is"
            session.error(-1, 321, f"{text} required for this operation: {account!r}")
            return
        session.updates = account
        session.answer("account", -1, lambda: self._updates(account, is_end=True))

    def _updates(self, account: str, *, is_end: bool) -> Iterator[list[Any]]:
        for tag, value, currency in self.values(account):
            yield [6, 2, tag, value, currency, account]
        margin = self._margin
        for key, held in margin.positions.get(account, {}).items():
            one, mark = margin.listed[key], margin.mark(key)
            row = row_of(one, one.primary or one.exchanges[0])
            yield [
                7, 8, *row, held.size, mark, held.size * mark * one.multiplier,
                held.paid * one.multiplier, margin.open_profit(account, key),
                held.realized, account,
            ]  # fmt: skip
        now_s = self.venue.now_ms() // 1000
        yield [8, 1, f"{datetime.fromtimestamp(now_s, UTC):%H:%M}"]
        if is_end:
            yield [54, 1, account]

    def updates_multi(self, session: Session, fields: Fields) -> None:
        """Do ``reqAccountUpdatesMulti``."""
        req_id, account = fields.skip().whole(), fields.text()
        session.multi[req_id] = account
        session.answer(
            "account", req_id, lambda: self._multi(req_id, account, end=True)
        )

    def _multi(self, req_id: int, account: str, *, end: bool) -> Iterator[list[Any]]:
        names = [account] if account else self.venue.accounts.names
        for name in names:
            for tag, value, currency in self.values(name):
                yield [73, 1, req_id, name, "", tag, value, currency]
        if end:
            yield [74, 1, req_id]

    def end_multi(self, session: Session, fields: Fields) -> None:
        """Do ``cancelAccountUpdatesMulti``."""
        session.multi.pop(fields.skip().whole(), None)

    def summary(self, session: Session, fields: Fields) -> None:
        """Do ``reqAccountSummary``; it isn't told again as it changes."""
        req_id = fields.skip().whole()
        tags = set(fields.skip().text().split(","))

        def rows() -> Iterator[list[Any]]:
            for name in self.venue.accounts.names:
                for tag, value, currency in self.values(name):
                    if tag in tags or "$LEDGER:ALL" in tags:
                        yield [63, 1, req_id, name, tag, value, currency]
            yield [64, 1, req_id]

        session.answer("account", req_id, rows)

    # -- positions ----------------------------------------------------------------

    def positions(self, session: Session, _fields: Fields) -> None:
        """Do ``reqPositions``."""
        session.has_positions = True

        def rows() -> Iterator[list[Any]]:
            for name in self.venue.accounts.names:
                for key in self._margin.positions.get(name, {}):
                    yield self._position(name, key)
            yield [62, 1]

        session.answer("positions", -1, rows)

    def end_positions(self, session: Session, _fields: Fields) -> None:
        """Do ``cancelPositions``."""
        session.has_positions = False

    def positions_multi(self, session: Session, fields: Fields) -> None:
        """Do ``reqPositionsMulti``; it isn't told again as it changes."""
        req_id, account = fields.skip().whole(), fields.text()

        def rows() -> Iterator[list[Any]]:
            for name in [account] if account else self.venue.accounts.names:
                for key in self._margin.positions.get(name, {}):
                    _, _, told, *row = self._position(name, key)
                    yield [71, 1, req_id, told, *row, ""]
            yield [72, 1, req_id]

        session.answer("positions", req_id, rows)

    def _position(self, account: str, key: str) -> list[Any]:
        one = self._margin.listed[key]
        held = self._margin.position(account, key)
        row = row_of(one, one.primary or one.exchanges[0])
        return [61, 3, account, *row, held.size, held.paid * one.multiplier]

    # -- changes ------------------------------------------------------------------

    def changed(self, account: str, key: str = "") -> None:
        """Tell who listens that an account changed, and its position of a contract."""
        for session in self.venue.sessions.values():
            if key and session.has_positions:
                session.tell(*self._position(account, key))
            if session.updates == account:
                for row in self._updates(account, is_end=False):
                    session.tell(*row)
            for req_id, name in session.multi.items():
                if name in ("", account):
                    for row in self._multi(req_id, account, end=False):
                        session.tell(*row)


def _money(amount: Decimal | int) -> str:
    return str(Decimal(amount).quantize(_CENT))
