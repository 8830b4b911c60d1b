"""Kraken's own records of trades as a ledger has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piker.accounting import Transaction
from piker.msgs import MktPair


def norm_trade(tid: str, record: Mapping[str, Any], mkt: MktPair) -> Transaction:
    """Return a trade of the venue's list of an account's as a ledger's row.

    Args:
      tid: the venue's id of it, the key of the record in the venue's list.
      record: as the list has it, see `TradeRow`.
      mkt: its market.

    Raises: BadPayload: it is no such record, or one of another market.
    """
    # not at import: who only wants data has no use for all that
    from piker.brokers._live._trades import to_transaction

    from ._order_decode import read_trade

    return to_transaction(read_trade(tid, record, mkt), mkt)
