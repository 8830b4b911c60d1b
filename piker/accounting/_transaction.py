"""Transactions: what changed a position, as it stands in an account's ledger."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal, get_args

from piker.errors import BadFqme
from piker.msgs import NS, BrokerdFill, Fqme
from piker.types import Struct

from ._exact import MAX_DIGITS, ONE, ZERO, is_number

EventType = Literal["clear", "transfer", "split", "expiry", "fee", "settlement"]
EVENT_TYPES: Final = frozenset(get_args(EventType))

MAX_NS: Final = 2**63 - 1  # in the year 2262
MAX_CHARS: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_RATIO: Final = re.compile(r"([1-9][0-9]{0,6}):([1-9][0-9]{0,6})")


class Transaction(
    Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag=False
):
    """One event of one market in one account.

    Takes any values; what is wrong with one, `fault_of` says.

    Attributes:
      tid: the broker's id of it, unique in the account: the ledger's key.
      fqme: full name of the market.
      size: change of the position, base units (contracts, of one), < 0 if sold. 0 of
        an expiry: all there is. Of a settlement 0. Of a split 0: as *ratio* says,
        exactly; else the change that the broker booked, where it rounds. Of a fee 0.
      price: quote units for one base unit. Of a transfer what comes in is worth; of
        an expiry what it is settled at.
      time_ns: when, by the market's clock; ``dt`` in the file.
      cost: fees, quote units, < 0 of a rebate or of cash for a fraction.
      etype: what happened; ``fee``: one by itself, of a trade that was booked without.
      bs_mktid: the broker's own name of the market.
      expiry: ``yyyymmdd`` of a contract that expires, where the file tells it.
      multiplier: base units that a contract of size 1 stands for.
      inverse: *size* counts quote units, and profits and *cost* are paid in base units:
        a size s bought at p and sold at q earns ``s / p - s / q``.
      ratio: of a split, ``NEW:OLD``: ``2:1`` doubles the units.
      oid: the order's id.
      reqid: the broker's id of the order.
      fee: what was paid in *fee_asset*, where that isn't what is quoted in: *cost* is
        what that was worth, 0 if nobody knew.
      fee_asset: lower case, empty if *cost* was paid as it is.
      taker: whether it took what rested.
    """

    tid: str
    fqme: str
    size: Decimal
    price: Decimal
    time_ns: int
    cost: Decimal = ZERO
    etype: EventType = "clear"
    bs_mktid: str = ""
    expiry: str = ""
    multiplier: Decimal = ONE
    inverse: bool = False
    ratio: str = ""
    oid: str = ""
    reqid: str = ""
    fee: Decimal = ZERO
    fee_asset: str = ""
    taker: bool = False

    @property
    def dt(self) -> str:
        """When, as the file has it: ``2026-11-28T19:03:17.000000001Z``."""
        return show_ns(self.time_ns)


def fault_of(txn: Transaction) -> tuple[str, str] | None:
    """Return (key, what is wrong with it) of the first wrong value, None if none is."""
    for key in ("tid", "bs_mktid", "oid", "reqid", "fee_asset"):
        text = getattr(txn, key)
        if (
            len(text) > MAX_CHARS
            or _CONTROL.search(text)
            or (key == "tid" and not text)
        ):
            least = 1 if key == "tid" else 0
            return key, f"wanted {least} to {MAX_CHARS} printable characters"
    if fault := fqme_fault(txn.fqme):
        return "fqme", fault
    for key in ("size", "price", "cost", "fee", "multiplier"):
        if not is_number(getattr(txn, key)):
            return key, (
                f"wanted a number with up to {MAX_DIGITS} digits before and after its "
                f"point, got {str(getattr(txn, key))!r}"
            )
    return _fault_of_kind(txn)


def _fault_of_kind(  # noqa: PLR0911 - a list of checks
    txn: Transaction,
) -> tuple[str, str] | None:
    if txn.etype not in EVENT_TYPES:
        return "etype", f"wanted one of {', '.join(get_args(EventType))}"
    if not txn.size and txn.etype in {"clear", "transfer"}:
        return "size", f"a {txn.etype} of size 0 changes nothing"
    if txn.etype == "fee" and (txn.size or txn.price or not (txn.cost or txn.fee)):
        return "cost", "a fee by itself has a cost, and neither size nor price"
    if fault := _fault_of_contract(txn):
        return fault
    if txn.fee and not txn.fee_asset:
        return "fee_asset", f"a fee of {txn.fee} is of an asset"
    if txn.etype == "split" and not _RATIO.fullmatch(txn.ratio):
        return "ratio", f"wanted NEW:OLD, e.g. '2:1', got {txn.ratio!r}"
    if txn.etype != "split" and txn.ratio:
        return "ratio", f"only a split has one, this is a {txn.etype}"
    if txn.expiry and not _is_date(txn.expiry):
        return "expiry", f"wanted yyyymmdd, got {txn.expiry!r}"
    if not 0 <= txn.time_ns <= MAX_NS:
        return "dt", "wanted a time from 1970 to 2262"
    return None


def _fault_of_contract(txn: Transaction) -> tuple[str, str] | None:
    if txn.etype == "settlement" and txn.size:
        return "size", f"a settlement leaves it as it is, got {txn.size}"
    if txn.multiplier <= 0:
        return "multiplier", f"wanted a number > 0, got {txn.multiplier}"
    if txn.inverse and txn.price <= 0 and txn.etype not in {"fee", "split"}:
        return "price", f"of an inverse contract wanted > 0, got {txn.price}"
    return None


@lru_cache(4096)
def fqme_fault(fqme: str) -> str:
    """Say what is wrong with a market's name as a ledger holds it, empty if nothing."""
    try:
        parsed = str(Fqme.parse(fqme))
    except BadFqme as err:
        return str(err)
    return "" if parsed == fqme else f"write it in lower case: {parsed}"


def split_ratio(txn: Transaction) -> tuple[int, int]:
    """Return (new, old) units of a split."""
    found = _RATIO.fullmatch(txn.ratio)
    assert found, "it was checked"
    return int(found[1]), int(found[2])


def show_ns(time_ns: int) -> str:
    """Return a time as the file has it: ``2026-11-28T19:03:17.000000001Z``."""
    seconds, rest = divmod(time_ns, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z"


def of_fill(
    fill: BrokerdFill,
    multiplier: Decimal = ONE,
    bs_mktid: str = "",
    *,
    inverse: bool = False,
) -> Transaction:
    """Return what a fill writes into the ledger of its account."""
    return Transaction(
        tid=fill.tid,
        fqme=fill.symbol,
        size=fill.size if fill.action == "buy" else fill.size.copy_negate(),
        price=fill.price,
        cost=fill.cost,
        time_ns=fill.broker_time_ns,
        bs_mktid=bs_mktid,
        multiplier=multiplier,
        inverse=inverse,
        oid=fill.oid,
        reqid=fill.reqid,
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        taker=fill.taker,
    )


def to_fill(txn: Transaction, seq: int, account: str, time_ns: int) -> BrokerdFill:
    """Return the fill that a ledger's ``clear`` tells of; its inverse is `of_fill`.

    Args:
      txn: from the ledger.
      seq: its serial there.
      account: whose ledger it is.
      time_ns: wall clock, of the telling.
    """
    return BrokerdFill(
        oid=txn.oid,
        reqid=txn.reqid,
        tid=txn.tid,
        seq=seq,
        account=account,
        symbol=txn.fqme,
        action="sell" if txn.size < 0 else "buy",
        size=txn.size.copy_abs(),
        price=txn.price,
        cost=txn.cost,
        fee=txn.fee,
        fee_asset=txn.fee_asset,
        time_ns=time_ns,
        broker_time_ns=txn.time_ns,
        taker=txn.taker,
    )


def _is_date(text: str) -> bool:
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return False
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True
