"""The venues whose recorded frames can be played, and how to tell them apart."""

from __future__ import annotations

from typing import Final

import msgspec

from piker.brokers._parts import Part
from piker.brokers._refetched import Decode, with_refetched
from piker.brokers.binance import _decode as binance, _sniff as binance_sniff
from piker.brokers.binance._rest import parse_agg_trades
from piker.brokers.deribit import _decode as deribit, _sniff as deribit_sniff
from piker.brokers.deribit._answers import parse_trades as parse_deribit
from piker.brokers.kraken import _decode as kraken, _sniff as kraken_sniff
from piker.brokers.kraken._rest import parse_trades
from piker.msgs import MktPair


def _kraken_trades(body: bytes, symbol: str) -> list[Part]:
    return parse_trades(body, symbol).parts


def _deribit_trades(body: bytes, symbol: str) -> list[Part]:
    return parse_deribit(body, symbol).parts


_READ_BINANCE: Final = with_refetched(
    "binance", binance.decode_message, parse_agg_trades
)
#: What the ``venue`` of a session may be, and what reads its frames.
VENUES: Final[dict[str, Decode]] = {
    "binance.spot": _READ_BINANCE,
    "binance.usdtm": _READ_BINANCE,
    "kraken.spot": with_refetched("kraken", kraken.decode_message, _kraken_trades),
    "deribit": with_refetched("deribit", deribit.decode_message, _deribit_trades),
    "deribit.spot": with_refetched("deribit", deribit.decode_message, _deribit_trades),
}

_BINANCE: Final[dict[str, binance_sniff.Venue]] = {
    "binance.spot": "spot",
    "binance.usdtm": "usdtm",
}


class Evidence:
    """What the frames of a session show of their venue and its markets."""

    def __init__(self) -> None:
        self._binance = binance_sniff.Evidence()
        self._kraken = kraken_sniff.Evidence()
        self._deribit = deribit_sniff.Evidence()

    def add(self, payload: bytes) -> None:
        """Look at one frame."""
        self._binance.add(payload)
        self._kraken.add(payload)
        self._deribit.add(payload)

    def votes(self, venue: str) -> int:
        """Return how many frames only *venue* sends."""
        told = _BINANCE.get(venue)
        if told:
            return self._binance.votes[told]
        if venue.startswith("deribit"):
            return self._deribit.votes[venue]
        return self._kraken.votes

    @property
    def venue(self) -> str | None:
        """The venue that most frames are of, None if none tells."""
        best = max(VENUES, key=self.votes)
        return best if self.votes(best) else None

    def mkts(self, venue: str) -> dict[str, MktPair]:
        """Return the markets by the venue's symbol, as played back.

        Raises:
          BadFqme, ValueError: if a symbol makes no name.
        """
        told = _BINANCE.get(venue)
        if told:
            return {
                symbol: binance_sniff.replay_market(symbol, told, steps)
                for symbol, steps in self._binance.steps.items()
            }
        of_deribit = venue.startswith("deribit")
        mkts = self._deribit.mkts(venue) if of_deribit else self._kraken.mkts()
        return {symbol: as_played(mkt) for symbol, mkt in mkts.items()}


def as_played(mkt: MktPair) -> MktPair:
    """Return a venue's market as the sim's: its broker becomes part of the name.

    Of one that has no venue in its name it becomes that.
    """
    if not mkt.venue:
        return msgspec.structs.replace(mkt, broker="sim", venue=mkt.broker)
    return msgspec.structs.replace(
        mkt, broker="sim", contract_info=(*mkt.contract_info, mkt.broker)
    )
