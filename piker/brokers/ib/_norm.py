"""IB's own records of trades as a ledger has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from piker.accounting import AccountName, ImportedTrades, LedgerView, Transaction
from piker.msgs import MktPair


def norm_trade(tid: str, record: Mapping[str, Any], mkt: MktPair) -> Transaction:
    """Return an execution of the API, or a row of a Flex report, as a ledger's row.

    Both have the same id, IB's of the execution: what came live and by a report is one.

    Args:
      tid: that id, ``execId`` or ``ibExecID``.
      record: fields of the library's ``Execution`` with ``commission`` and
        ``commissionCurrency``, or the attributes of a ``Trade`` or ``TradeConfirm``.
      mkt: its market.

    Raises: BadPayload: it is no such record, or one of another market.
    """
    # not at import: who only wants data has no use for all that
    from piker.brokers._live._trades import to_transaction

    from ._records import read_record

    return to_transaction(read_record(tid, record, mkt), mkt)


def read_report(
    path: Path, name: AccountName, ledger: LedgerView | None
) -> ImportedTrades | None:
    """Return the trades of a Flex report, None if the file is none.

    Args:
      path: of the file.
      name: whose trades they are.
      ledger: of that account, None if there is none.

    Raises: UsageError: something in it is wrong.
    """
    from . import _flex

    return _flex.read_report(path, name, ledger) if _flex.is_report(path) else None
