"""Deribit's own records of trades, settlements and deliveries as a ledger has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piker.accounting import Transaction
from piker.msgs import MktPair


def norm_trade(tid: str, record: Mapping[str, Any], mkt: MktPair) -> Transaction:
    """Return a record of an account's list of trades, or of its log, as a ledger's row.

    Args:
      tid: the ledger's id of it.
      record: as the list has it, see `UserTrade` and `LogRow`.
      mkt: its market.

    Raises: BadPayload: it is no such record, or one of another market.
    """
    # not at import: who only wants data has no use for all that
    from piker.brokers._live._trades import to_transaction

    from ._booked import read_trade

    return to_transaction(read_trade(tid, record, mkt), mkt)
