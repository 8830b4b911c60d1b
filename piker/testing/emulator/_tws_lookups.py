"""Requests that look contracts up: by description, by pattern, by what they are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import trio

from ._tws_contracts import Query
from ._tws_fields import Fields

if TYPE_CHECKING:
    from ._tws import Tws
    from ._tws_session import Session

_FARM: Final = "secdefil"


@dataclass
class Lookups:
    """Answers them; while the farm of contracts is down, not before it is up."""

    venue: Tws

    def details(self, session: Session, fields: Fields) -> None:
        """Do ``reqContractDetails``."""
        req_id, query = fields.skip().request(), Query.of(fields)

        def rows() -> Iterator[list[Any]]:
            now_s = self.venue.now_ms() // 1000
            for one in self.venue.contracts.find(query):
                yield self.venue.contracts.details(req_id, one, query.exchange, now_s)
            yield [52, 1, req_id]

        session.answer("details", req_id, rows, farm=_FARM)

    def symbols(self, session: Session, fields: Fields) -> None:
        """Do ``reqMatchingSymbols``."""
        req_id, pattern = fields.request(), fields.text()
        now = trio.current_time()
        if now - session.asked_symbols < self.venue.limits.symbols_s:
            self.venue.core.stats.limited += 1
            return  # one a second is answered, the others never
        session.asked_symbols = now
        session.answer(
            "symbols", req_id, lambda: [self.venue.contracts.samples(req_id, pattern)]
        )

    def chains(self, session: Session, fields: Fields) -> None:
        """Do ``reqSecDefOptParams``."""
        req_id, symbol, _, kind = (
            fields.whole(), fields.text(), fields.text(), fields.text()
        )  # fmt: skip
        con_id = fields.whole()
        session.answer(
            "chains", req_id,
            lambda: self.venue.contracts.chains(req_id, symbol, kind, con_id),
        )  # fmt: skip

    def rule(self, session: Session, fields: Fields) -> None:
        """Do ``reqMarketRule``."""
        number = fields.whole()
        session.answer("rule", -1, lambda: [self.venue.contracts.rule(number)])
