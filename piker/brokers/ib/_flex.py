"""Flex reports of IB as trades of a ledger: an XML file, read without a gateway.

    <Trade>, <TradeConfirm> of executions --their ids--> transactions
    <CorporateAction>: splits --> transactions; all else of it, transfers --> notes

What is in the ledger already is met by its id, whether it came live or by another
report. A trade that IB has corrected or cancelled since it was booked is undone.

https://www.ibkrguides.com/reportingreference/reportguide/tradesfq.htm
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from ib_async import Contract
from msgspec.structs import replace

from piker.accounting import (
    AccountName,
    ImportedTrades,
    LedgerView,
    Transaction,
)
from piker.brokers._live._mended import (
    UNDONE,
    lacks_fee,
    late_fee,
    newest,
    undoing,
    undone,
)
from piker.brokers._live._trades import in_units, other_fee, to_transaction
from piker.brokers._live._venue import VenueTrade
from piker.brokers._payload import one_line
from piker.errors import BadFqme, BadPayload, UsageError
from piker.msgs import Asset, Fqme, MktPair

from ._conf import BROKER
from ._names import KINDS, SMART, to_fqme
from ._order_decode import number
from ._records import read_record, time_ns_of, with_plain_days

Row = Mapping[str, str]

_EXECUTION: Final = "EXECUTION"
_TRADES: Final = ("Trade", "TradeConfirm")
#: Rows that sum up others, or tell them by lot.
_SUMS: Final = frozenset({
    "Order", "Lot", "SymbolSummary", "AssetSummary", "WashSale", "TradeConfirmSummary",
})  # fmt: skip
#: What changes positions and isn't booked: it is told.
_OTHERS: Final = {
    "CorporateAction": "corporate actions", "Transfer": "transfers of positions",
    "TradeTransfer": "transfers of trades", "OptionEAE": "exercises and expiries",
}  # fmt: skip
_CANCEL: Final = "TradeCancel"
_EXPIRED: Final = "Ep"
_SPLIT: Final = re.compile(r"SPLIT\s+(\d+)\s+FOR\s+(\d+)", re.IGNORECASE)
_SPLITS: Final = frozenset({"FS", "RS", "FI"})
_DAY: Final = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")
#: Symbols of options in the US, and of futures.
_CLASS: Final = re.compile(
    r"([A-Z0-9]+)\s+\d{6}[CP]\d{8}$|([A-Z0-9]+?)[FGHJKMNQUVXZ]\d{1,2}$"
)
_FINEST: Final = Decimal("1e-8")
_SHOWN: Final = 3


def is_report(path: Path) -> bool:
    """Tell whether a file may be a Flex report: it begins as XML does."""
    try:
        return _bytes_of(path).lstrip(b"\xef\xbb\xbf \r\n\t")[:1] == b"<"
    except ValueError:
        return False


def read_report(
    path: Path, name: AccountName, ledger: LedgerView | None
) -> ImportedTrades:
    """Read the trades of a Flex report, which may be gzipped.

    Args:
      path: of the XML file: an activity or a trade confirmation query, of one account.
      name: whose trades they are.
      ledger: of that account, None if there is none.

    Raises: UsageError: it is none, or something in it is wrong.
    """
    try:
        root = _parsed(_bytes_of(path))
        report = _Report(name, ledger)
        rows = [dict(element.attrib) for element in root.iter()]
        for element, row in zip(root.iter(), with_plain_days(rows), strict=True):
            report.take(element.tag, row)
        report.check_account()
        return report.trades()
    except (ValueError, BadPayload, BadFqme) as err:
        raise UsageError(f"can't import {path}: {one_line(err)}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except OSError as err:
        raise ValueError(err.strerror or str(err)) from None
    except (EOFError, zlib.error) as err:
        raise ValueError(f"wanted a whole gzip file: {err}") from None


def _parsed(raw: bytes) -> ET.Element:
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise ValueError("a Flex report has no types of its own")
    try:
        root = ET.fromstring(raw)  # noqa: S314 - it can define no entities
    except (ET.ParseError, LookupError) as err:  # or an encoding that is none
        raise ValueError(f"wanted a Flex report, XML: {err}") from None
    if root.tag != "FlexQueryResponse":
        raise ValueError(
            f"wanted a Flex report, whose root is FlexQueryResponse, got {root.tag}"
        )
    return root


@dataclass
class _Report:
    """What was read of a report so far."""

    name: AccountName
    ledger: LedgerView | None
    accounts: set[str] = field(default_factory=set)
    rows: dict[str, tuple[Row, VenueTrade, MktPair]] = field(default_factory=dict)
    cancels: list[Row] = field(default_factory=list)
    others: list[Transaction] = field(default_factory=list)
    splits: dict[tuple[str, str, str], list[Row]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _multipliers: dict[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # names that are in the ledger stay: a report doesn't tell all that is in one
        for txn in self.ledger.txns if self.ledger is not None else ():
            if txn.bs_mktid:
                self._names[txn.bs_mktid] = txn.fqme
                if txn.etype == "clear":
                    self._multipliers[txn.bs_mktid] = txn.multiplier

    def take(self, tag: str, row: Row) -> None:
        """Take an element; raises ValueError, BadPayload, BadFqme."""
        if account := row.get("accountId", ""):
            self.accounts.add(account)
        if tag in _TRADES:
            self._take_trade(row)
        elif tag in _SUMS:
            self.skipped["rows that sum up others"] += 1
        elif tag in _OTHERS:
            self._take_other(tag, row)

    def _take_trade(self, row: Row) -> None:
        level = row.get("levelOfDetail", _EXECUTION)
        if level != _EXECUTION:
            self.skipped["rows that sum up others"] += 1
            return
        if row.get("transactionType") == _CANCEL or "(Ca.)" in row.get("buySell", ""):
            self.cancels.append(row)
            return
        tid, mkt = _tid_of(row), self._mkt_of(row)
        told = read_record(tid, row, mkt)
        _, known, _ = self.rows.setdefault(tid, (row, told, mkt))
        if (known.side, known.size, known.price) != (told.side, told.size, told.price):
            self.notes.append(
                f"left out: another trade of the id {one_line(tid)}, {told.side}"
                f" {told.size} at {told.price}: look into it"
            )

    def _take_other(self, tag: str, row: Row) -> None:
        split = _SPLIT.search(row.get("description", ""))
        is_split = tag == "CorporateAction" and row.get("type", "") in _SPLITS
        if is_split and split is not None and row.get("conid"):
            number_of = row.get("actionID") or row.get("transactionID") or row["conid"]
            rows = self.splits.setdefault((number_of, split[1], split[2]), [])
            if row not in rows:
                rows.append(row)
            return
        told = row.get("actionDescription") or row.get("description") or row.get("type")
        self.notes.append(
            f"not booked, of {_OTHERS[tag]}: {one_line(told or tag)}"
            f" {one_line(row.get('dateTime') or row.get('date') or '')}".rstrip()
        )

    def _split_of(
        self, number_of: str, to: str, of: str, rows: list[Row]
    ) -> Transaction:
        """Return a split; one with a new number is two rows: shares go, others come."""
        by_size = sorted(rows, key=lambda row: abs(_quantity(row)))
        few, many = by_size[0], by_size[-1]
        old, new = (many, few) if int(to) < int(of) else (few, many)
        mkt = self._mkt_of(new)
        # under the name that the shares have, whatever the old ones are called now
        if name := self._names.get(old["conid"]):
            mkt = _named(mkt, name)
        self._names[new["conid"]] = mkt.fqme
        split = Transaction(
            tid=f"flex-split-{number_of}",
            fqme=mkt.fqme,
            size=sum(map(_quantity, rows), Decimal(0)),
            price=Decimal(0),
            time_ns=time_ns_of(new),
            etype="split",
            ratio=f"{to}:{of}",
            bs_mktid=mkt.bs_mktid,
            multiplier=mkt.multiplier,
        )
        return self._in_units(split)

    def check_account(self) -> None:
        """Raise ValueError unless the report is of one account."""
        if len(self.accounts) > 1:
            raise ValueError(
                f"wanted a report of one account, it is of {len(self.accounts)}: make"
                " a Flex query of one, and import it under that account's own name"
            )

    # -- what it comes to ---------------------------------------------------------

    def trades(self) -> ImportedTrades:
        """Return all that is to be booked, and what is in the ledger already."""
        self._drop_cancelled()
        self.others += [self._split_of(*key, rows) for key, rows in self.splits.items()]
        told = [trade for _, trade, _ in self.rows.values()]
        txns = list(self.others)
        for trade in newest(told, self.ledger or _Empty()):
            row, _, mkt = self.rows[trade.tid]
            txns += self._entries_of(trade, row, mkt)
        txns.sort(key=lambda txn: txn.time_ns)
        notes = [*self.notes, *(f"{n} {what} left out" for what, n in
                                self.skipped.items())]  # fmt: skip
        notes.append("times without a zone are New York's, as IB writes them")
        if not txns:
            notes.append(
                "it has no trade: a query is to have the section Trades, or Trade"
                " Confirmations, with the option Execution"
            )
        return ImportedTrades(tuple(txns), tuple(notes))

    def _entries_of(
        self, trade: VenueTrade, row: Row, mkt: MktPair
    ) -> list[Transaction]:
        txn = self._in_units(to_transaction(trade, mkt))
        if _EXPIRED in row.get("notes", "").split(";"):
            txn = replace(txn, etype="expiry")
        if self.ledger is None:
            return [txn]
        if self.ledger.seq_of(trade.tid) is None:
            # what a cancel in this report undoes isn't undone by the new one again
            done = {each.tid.partition(UNDONE)[0] for each in self.others}
            older = undoing(trade, self.ledger)
            return [
                *(one for one in older if one.tid.partition(UNDONE)[0] not in done),
                txn,
            ]
        known = lacks_fee(trade, self.ledger)
        if known is None:
            return [txn]
        return [txn, late_fee(known, txn.cost, other_fee(trade, mkt))]

    def _in_units(self, txn: Transaction) -> Transaction:
        # what the API tells in cents, with a smaller multiplier, is in dollars here
        return in_units(txn, self._multipliers.get(txn.bs_mktid, txn.multiplier))

    def _drop_cancelled(self) -> None:
        """Leave out what was cancelled; undo it, where it is booked."""
        for row in self.cancels:
            tid = row.get("ibExecID") or row.get("execID") or ""
            if number_of := row.get("origTradeID"):
                found = (
                    key
                    for key, (one, _, _) in self.rows.items()
                    if one.get("tradeID") == number_of
                )
                tid = next(found, tid or f"flex-{number_of}")
            cancelled = self.rows.pop(tid, None)
            if self.ledger is not None and self.ledger.seq_of(tid):
                by = row.get("tradeID") or "a cancel"
                self.others += undone(tid, by, time_ns_of(row), self.ledger)
            elif cancelled is None:
                self.notes.append(
                    f"a cancel of a trade that isn't there: {one_line(tid or row)}"
                )

    # -- markets ------------------------------------------------------------------

    def _mkt_of(self, row: Row) -> MktPair:
        """Return the market of a row, as far as it is needed to book; BadFqme."""
        con_id = row.get("conid", "")
        kind = row.get("assetCategory", "")
        if not con_id.isdigit() or kind not in KINDS:
            raise ValueError(
                f"trade {one_line(_tid_of(row))} is of {kind!r} {row.get('symbol')!r},"
                " which isn't booked: leave it out of the query"
            )
        contract = _contract_of(row, kind, int(con_id))
        fqme = to_fqme(contract)
        name = self._name_of(contract, row)
        is_pair = kind in {"CASH", "CRYPTO"}
        quote = Asset(name=contract.currency.lower(), atype="fiat") if is_pair else None
        base = fqme.pair[: -len(contract.currency)] if is_pair else fqme.pair
        mkt = MktPair(
            dst=Asset(name=base, atype=KINDS[kind], tx_tick=_FINEST),
            src=quote,
            price_tick=_FINEST,
            size_tick=_FINEST,
            bs_mktid=con_id,
            broker=BROKER,
            venue=fqme.venue,
            expiry=fqme.expiry,
            contract_info=fqme.info,
            multiplier=number(row.get("multiplier") or "1") or Decimal(1),
            atype=KINDS[kind],
            settle="" if is_pair else contract.currency.lower(),
        )
        return mkt if mkt.fqme == name else _named(mkt, name)

    def _name_of(self, contract: Contract, row: Row) -> str:
        """Return a name that no other contract has: one of a class may need its word.

        A share's number changes with what its company does; its name stays.
        """
        con_id = str(contract.conId)
        if con_id not in self._names:
            fqme = to_fqme(contract)
            taken = set(self._names.values()) if fqme.expiry else ()
            words = iter((_class_of(row), f"c{con_id}"))
            while str(fqme) in taken:
                fqme = to_fqme(contract, word=next(words))
            self._names[con_id] = str(fqme)
        return self._names[con_id]


def _class_of(row: Row) -> str:
    """Return the trading class in a symbol, ``SPXW  261218C05000000`` or ``SILZ6``."""
    found = _CLASS.match(row.get("symbol", ""))
    return (found[1] or found[2]).lower() if found else ""


def _quantity(row: Row) -> Decimal:
    return number(row.get("quantity", "").replace(",", ""))


def _named(mkt: MktPair, name: str) -> MktPair:
    """Return a market under the name that a ledger has of it."""
    fqme = Fqme.parse(name)
    return replace(
        mkt, venue=fqme.venue, expiry=fqme.expiry, contract_info=fqme.info,
        dst=replace(mkt.dst, name=fqme.pair) if mkt.src is None else mkt.dst,
    )  # fmt: skip


def _contract_of(row: Row, kind: str, con_id: int) -> Contract:
    """Return the contract of a row, with what a name is made of."""
    symbol, place = row.get("symbol", ""), row.get("listingExchange", "")
    place = place or row.get("exchange", "")
    day = _DAY.match(row.get("expiry", ""))
    contract = Contract(conId=con_id, secType=kind, currency=row.get("currency", ""))
    contract.symbol = row.get("underlyingSymbol") or symbol
    contract.exchange = place
    contract.lastTradeDateOrContractMonth = "".join(day.groups()) if day else ""
    if kind in {"OPT", "FOP"}:
        contract.strike = float(number(row.get("strike", "")))
        contract.right = row.get("putCall", "")
    if kind == "OPT" and contract.currency == "USD":
        contract.exchange = SMART  # listed at many places, named after the router
    elif kind == "STK":
        contract.symbol, contract.primaryExchange = symbol, place
        contract.exchange = SMART
    elif kind in {"CASH", "CRYPTO"}:
        base, _, quote = symbol.partition(".")
        contract.symbol, contract.currency = base, quote or contract.currency
        contract.exchange = "IDEALPRO" if kind == "CASH" else place
    return contract


class _Empty(LedgerView):
    """A ledger in which nothing is."""

    def __init__(self) -> None:
        self._txns = []
        self._seqs = {}


def _tid_of(row: Row) -> str:
    """Return the id of a trade: IB's of the execution; one of its own, of no execution.

    An option that expired or was exercised is booked by IB without any: its field is
    empty. Where the field isn't there at all a trade can't be told from one that is
    booked.
    """
    told = row.get("ibExecID") or row.get("execID")
    if told:
        return told
    if "ibExecID" not in row and "execID" not in row:
        raise ValueError(
            f"the trade of {row.get('symbol')!r} has no field IB Execution ID"
            " (ibExecID), by which what came live is known: let the query have it"
        )
    number_of = row.get("tradeID") or row.get("transactionID")
    if number_of:
        return f"flex-{number_of}"
    raise ValueError(
        f"a trade of {row.get('symbol')!r} has no id: let the query have the fields"
        " IB Execution ID (ibExecID) and Trade ID"
    )
