"""Trades that a venue tells anew: with the fee that they lacked, or corrected. Pure.

    a trade booked without a fee --told again with one--> a fee by itself
    an older edition booked --a newer one told--> it is undone, and the newer one booked
    the end of a contract booked --a trade of before it told--> it is ended, too

A ledger is only added to: what was wrong in it is undone by an entry of its own, whose
id tells both, so that it is done once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from msgspec.structs import replace

from piker.accounting import LedgerView, Transaction

from ._venue import VenueTrade

UNDONE: Final = " undone by "
_FEE: Final = " fee"
_ENDS: Final = " of "


def is_undoing(txn: Transaction) -> bool:
    """Tell whether an entry undoes another one."""
    return UNDONE in txn.tid


def mends(txn: Transaction, ledger: LedgerView) -> bool:
    """Tell whether an entry corrects, or undoes, another one: no order was filled."""
    return is_undoing(txn) or any(
        ledger.seq_of(f"{old}{UNDONE}{txn.tid}") for old in editions(txn.tid)[0]
    )


def editions(tid: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of older and of newer editions of a trade.

    IB numbers them after the last point of an id, from ``.01`` on:
    https://interactivebrokers.github.io/tws-api/executions_commissions.html
    """
    stem, point, number = tid.rpartition(".")
    if not (point and len(number) == 2 and number.isascii() and number.isdigit()):
        return (), ()
    all_ids = [f"{stem}.{each:02d}" for each in range(1, 100)]
    at = int(number)
    return tuple(all_ids[: max(at - 1, 0)]), tuple(all_ids[at:])


def newest(trades: Iterable[VenueTrade], ledger: LedgerView) -> Iterator[VenueTrade]:
    """Yield trades of which no newer edition is among them, or is booked."""
    told = list(trades)
    tids = {trade.tid for trade in told}
    for trade in told:
        newer = editions(trade.tid)[1] if trade.has_editions else ()
        if not any(tid in tids or ledger.seq_of(tid) for tid in newer):
            yield trade


def undoing(trade: VenueTrade, ledger: LedgerView) -> list[Transaction]:
    """Return what undoes the older editions of a trade that are booked."""
    if not trade.has_editions:
        return []
    return [
        each
        for tid in editions(trade.tid)[0]
        for each in undone(tid, trade.tid, trade.time_ns, ledger)
    ]


def undone(tid: str, by: str, time_ns: int, ledger: LedgerView) -> list[Transaction]:
    """Return what undoes a trade, and its late fee: of both what is still booked.

    Args:
      tid: of the trade.
      by: what undoes it.
      time_ns: of that.
      ledger: where it may be booked.
    """
    entries = []
    for booked in (tid, f"{tid}{_FEE}"):
        old = _booked(booked, ledger)
        if old is None or _is_undone(booked, ledger):
            continue
        entries.append(
            replace(
                old, tid=f"{booked}{UNDONE}{by}", size=_less(old.size),
                cost=_less(old.cost), fee=_less(old.fee), oid="", time_ns=time_ns,
            )
        )  # fmt: skip
    return entries


def _less(amount: Decimal) -> Decimal:
    return amount and amount.copy_negate()


def _is_undone(tid: str, ledger: LedgerView) -> bool:
    # by a newer edition, or by a cancel, whose id is of another kind; later in any case
    later = ledger.since(ledger.seq_of(tid) or len(ledger))
    return any(txn.tid.startswith(f"{tid}{UNDONE}") for _, txn in later)


def lacks_fee(trade: VenueTrade, ledger: LedgerView) -> Transaction | None:
    """Return what is booked of a trade that is told with a fee which that lacks."""
    if not trade.fee:
        return None
    known = _booked(trade.tid, ledger)
    if known is None or known.cost or known.fee or _booked(trade.tid + _FEE, ledger):
        return None
    return None if _is_undone(trade.tid, ledger) else known


def late_fee(known: Transaction, cost: Decimal, paid: dict[str, Any]) -> Transaction:
    """Return the fee of a trade that is booked without.

    Args:
      known: the trade.
      cost: of it, quote units.
      paid: see `other_fee`.
    """
    return Transaction(
        tid=f"{known.tid}{_FEE}",
        fqme=known.fqme,
        size=Decimal(0),
        price=Decimal(0),
        time_ns=known.time_ns,
        cost=cost,
        etype="fee",
        bs_mktid=known.bs_mktid,
        multiplier=known.multiplier,
        inverse=known.inverse,
        reqid=known.reqid,
        **paid,
    )


def ended_too(txn: Transaction, end: Transaction | None) -> list[Transaction]:
    """Return what ends a trade of a contract of which the end is booked.

    Args:
      txn: the trade, about to be booked.
      end: the contract's, of all there was then; None if there is none.
    """
    if end is None or txn.etype != "clear" or txn.time_ns > end.time_ns:
        return []
    nothing = Decimal(0)
    return [
        replace(
            end, tid=f"{end.tid}{_ENDS}{txn.tid}", cost=nothing, fee=nothing,
            fee_asset="",
        )
    ]  # fmt: skip


def _booked(tid: str, ledger: LedgerView) -> Transaction | None:
    seq = ledger.seq_of(tid)
    return ledger.txn_at(seq) if seq else None
