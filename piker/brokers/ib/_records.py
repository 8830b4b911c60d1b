"""A trade in a Flex report, or as the API told it, as a value: pure.

attributes of a Trade or TradeConfirm | fields of an Execution --> VenueTrade

https://www.ibkrguides.com/reportingreference/reportguide/tradesfq.htm
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from piker.brokers._live._numbers import sane
from piker.brokers._live._trades import not_of
from piker.brokers._live._venue import VenueTrade
from piker.brokers._payload import bad_payload, one_line
from piker.errors import BadPayload
from piker.msgs import NS, MktPair

from ._order_decode import number

#: IB's statements tell times of where it is, but where they name another zone.
_ZONE: Final = ZoneInfo("America/New_York")
_ZONES: Final[dict[str, tzinfo]] = {
    "EST": _ZONE,
    "EDT": _ZONE,
    "ET": _ZONE,
    "UTC": UTC,
    "GMT": UTC,
}
#: Days and times as a Flex query may be set to write them, and a blank between.
_DAYS: Final = ("%Y%m%d", "%Y-%m-%d", "%m/%d/%Y", "%d-%b-%y", "%d/%m/%Y")
_TIMES: Final = ("%H%M%S", "%H:%M:%S")
_SLASHED: Final = re.compile(r"^(\d\d)/(\d\d)/(\d{4})")
_MONTHS: Final = 12
_BETWEEN: Final = (";", ", ", ",", "T")
_SELLS: Final = ("SELL", "SLD")
_BUYS: Final = ("BUY", "BOT")


def read_record(tid: str, record: Mapping[str, Any], mkt: MktPair) -> VenueTrade:
    """Return the trade of a record, see `piker.brokers.ib.norm_trade`; BadPayload."""
    told = str(_first(record, "conid", "conId") or mkt.bs_mktid)
    if told != mkt.bs_mktid:
        raise not_of(mkt, told, "ib")
    paid_in = str(
        _first(record, "ibCommissionCurrency", "commissionCurrency") or ""
    ).lower()
    currency = str(record.get("currency") or mkt.paid_in).lower()
    return VenueTrade(
        tid=tid,
        reqid=str(record.get("permId") or ""),
        cl_id=str(_first(record, "orderReference", "orderRef") or ""),
        bs_mktid=mkt.bs_mktid,
        side=side_of(record),
        price=price_of(record),
        size=abs(size_of(record)),
        fee=fee_of(record),
        fee_asset="" if paid_in in ("", currency) else paid_in,
        time_ns=time_ns_of(record),
        taker=record.get("lastLiquidity") == 2,
        has_editions=True,
    )


def price_of(record: Mapping[str, Any]) -> Decimal:
    """Return the price of a trade; BadPayload."""
    told = _first(record, "tradePrice", "price")
    if told is None:
        raise _bad(record, "it has no price")
    return number(_plain(told))


def size_of(record: Mapping[str, Any]) -> Decimal:
    """Return the size of a trade, < 0 if it was told so; BadPayload."""
    size = number(_plain(_first(record, "quantity", "shares")))
    if not size:
        raise _bad(record, "it has no size")
    sane(abs(size), "ib", str(size))
    return size


def side_of(record: Mapping[str, Any]) -> Any:
    """Return which way a trade was, by its words or by the sign of its size."""
    word = str(_first(record, "buySell", "side") or "").upper()
    if word.startswith(_SELLS):
        return "sell"
    if word.startswith(_BUYS):
        return "buy"
    if word:
        raise _bad(record, f"a side {one_line(word)!r}")
    return "sell" if size_of(record) < 0 else "buy"


def fee_of(record: Mapping[str, Any]) -> Decimal:
    """Return what a trade cost, taxes too, > 0 if that was paid.

    A report tells what it does to the cash, so what is paid is negative there.
    """
    if "shares" in record:  # the API's own
        return number(record.get("commission") or 0)
    paid = number(_plain(_first(record, "ibCommission", "commission")))
    taxes = number(_plain(_first(record, "taxes", "tax")))
    return -(paid + taxes)


def time_ns_of(record: Mapping[str, Any]) -> int:
    """Return when a trade was, ns since the epoch; BadPayload."""
    told = _first(record, "dateTime", "time", "executionTime")
    if isinstance(told, datetime):
        at = told
    else:
        text = str(told or "").strip()
        if not text and record.get("tradeDate"):
            text = f"{record['tradeDate']};{record.get('tradeTime') or '000000'}"
        at = parse_time(text)
    if at.tzinfo is None or not 0 <= at.timestamp() < 9_000_000_000:
        raise _bad(record, f"an odd time {str(told)[:40]!r}")
    return int(at.timestamp()) * NS


def parse_time(text: str) -> datetime:
    """Return a time of a report: New York's, where it names no zone; BadPayload.

    ``20261127;150405``, ``2026-11-27, 15:04:05``, ``11/27/2026 15:04:05 EST`` ...
    """
    bare = text.strip()
    head, _, tail = bare.rpartition(" ")
    zone = _ZONES.get(tail.upper(), _ZONE)
    if tail.upper() in _ZONES:
        bare = head
    for between in _BETWEEN:
        bare = bare.replace(between, " ")
    day, _, rest = " ".join(bare.split()).partition(" ")
    for day_form in _DAYS:
        for form in [f"{day_form} {one}" for one in _TIMES] if rest else [day_form]:
            try:
                at = datetime.strptime(f"{day} {rest}".strip(), form)  # noqa: DTZ007
            except ValueError:
                continue
            return at.replace(tzinfo=zone)
    raise BadPayload(f"not what ib documents: a time {text[:40]!r}")


def with_plain_days(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return a report's rows with days of one order, ``20261127``; BadPayload.

    A query may write ``11/27/2026`` or ``27/11/2026``: the whole report says which.
    """
    told = [day for row in rows for one in row.values() if (day := _SLASHED.match(one))]
    is_day_first = any(int(day[1]) > _MONTHS for day in told)
    is_month_first = any(int(day[2]) > _MONTHS for day in told)
    is_open = not (is_day_first or is_month_first)
    if (is_day_first and is_month_first) or (
        is_open and any(day[1] != day[2] for day in told)
    ):
        raise BadPayload(
            "its days may be written in either order, e.g."
            f" {told[0][0]}: have the query write them as yyyyMMdd"
        )
    plain = r"\3\2\1" if is_day_first else r"\3\1\2"
    return [{key: _SLASHED.sub(plain, one) for key, one in row.items()} for row in rows]


def _first(record: Mapping[str, Any], *names: str) -> Any:
    """Return the first of a record's fields that is there and not empty."""
    return next((record[name] for name in names if record.get(name) not in (None, "")),
                None)  # fmt: skip


def _plain(told: Any) -> Any:
    return told.replace(",", "") if isinstance(told, str) else told


def _bad(record: Mapping[str, Any], why: object) -> BadPayload:
    shown = _first(record, "ibExecID", "execID", "execId", "tradeID") or "a trade"
    return bad_payload("ib", str(shown).encode(), why)
