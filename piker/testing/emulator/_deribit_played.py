"""Recorded messages of Deribit as a tape: piker's sessions, cryptofeed's, samples.

    1626993724283178000 {"jsonrpc": ..., "params": {"channel": ..., "data": ...}}
    1626993724.283178: {"jsonrpc": ...}          of cryptofeed; <- is what a client sent
    https://...get_instruments... -> 1626993723.1: {"result": [...]}
    a file of one JSON document                  e.g. a page of the venue's documents

What is told by a channel passes as it was told; instruments that are listed anywhere in
the files are listed so, all others by their names.
"""

from __future__ import annotations

import gzip
import re
from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from piker.brokers.sim._frames import iter_frames
from piker.errors import SessionFileError
from piker.msgs import Asset, MktPair

from ._tape import Book, Item, Market, Print, Tape

_GZIP: Final = b"\x1f\x8b"
_HEARD: Final = re.compile(
    rb"(?:(?P<url>https?://\S+) -> )?(?P<at>\d+\.\d+): (?P<told>.*)"
)
_OURS: Final = re.compile(rb"\d{16,19} |#")
_WHATS: Final = ("trades", "ticker", "book", "quote")
_NOBODY: Final = MktPair(
    dst=Asset(name="deribit"), price_tick=Decimal(1), size_tick=Decimal(1),
    bs_mktid="", broker="deribit",
)  # fmt: skip


class ToldTrades(Print):
    """Trades that were told at once; each has its price in *data*.

    Attributes:
      channel: ``trades``.
      data: as they were told.
    """

    channel: str
    data: Any


class ToldState(Book):
    """Any other message of a channel; its prices are in *data*.

    Attributes:
      channel: ``ticker``, ``book`` or ``quote``.
      data: as it was told.
    """

    channel: str
    data: Any


Told = ToldTrades | ToldState


def _item(market: Market, due_ns: int, channel: str, data: Any) -> Told:
    """Return a message that passes at a time."""
    time_ms = _time_ms(data)
    found: Told
    if channel == "trades":
        lots = (0,) * len(data)
        found = ToldTrades(market, due_ns, time_ms, 0, 0.0, 1, 0, 0, lots, 0)
    else:
        found = ToldState(market, due_ns, time_ms, 0, 0.0, 0.0, 0.0, 0.0)
    found.channel, found.data = channel, data
    return found


class PlayedTape(Tape):
    """See the module.

    Attributes:
      market: of all messages.
      rows: instruments as they were listed, by name.
      names: of all that something is told of.
      past: messages that passed, the oldest first.
    """

    def __init__(
        self, market: Market, items: list[Told], rows: dict[str, Any], past_s: float
    ) -> None:
        origin_ns = items[0].due_ns if items else 0
        super().__init__({}, deque[Item](items), origin_ns + int(past_s * 1e9))
        self.market, self.rows = market, rows
        told = (name for item in items for name in _names(item.data))
        self.names = tuple(dict.fromkeys(told))
        self.past: list[Told] = []
        self.take_due(self.origin_ns - 1)

    def step(self) -> Item:
        """Let one message pass; return it. IndexError if there is none."""
        item = cast(Told, self.items.popleft())
        self.passed += 1
        self.last_ns = max(self.last_ns, item.time_ms * 1_000_000)
        self.past.append(item)
        return item


def played_tape(paths: Iterable[Path], past_s: float) -> PlayedTape:
    """Return the tape of recorded messages; SessionFileError if it can't be read.

    The venue's clock is the recorder's less the least delay seen, as of all tapes.
    """
    market = Market(_NOBODY, 1, 1)
    rows: dict[str, Any] = {}
    heard: list[tuple[int, str, Any]] = []
    for path in paths:
        for receive_ns, document in _documents(Path(path)):
            rows.update(_listed(document))
            heard += _told(receive_ns, document)
    late_ns = min((at - _time_ms(data) * 10**6 for at, _, data in heard if at),
                  default=0)  # fmt: skip
    items = [
        _item(market, at - late_ns if at else _time_ms(data) * 10**6, what, data)
        for at, what, data in heard
    ]
    items.sort(key=lambda item: item.due_ns)
    if not items and not rows:
        raise SessionFileError("nothing in these files is told by Deribit")
    return PlayedTape(market, items, rows, past_s)


# -- files --------------------------------------------------------------------------


def _documents(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield JSON documents with their receive stamps, 0 where there is none."""
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw.startswith(_GZIP) else raw
    except (OSError, EOFError) as error:
        raise SessionFileError(f"can't read session {str(path)!r}: {error}") from error
    first = text.lstrip()[:200]
    if first.startswith(b"{"):
        yield 0, _decoded(text)
    elif _OURS.match(first) or raw[:4] == b"\x28\xb5\x2f\xfd":
        for _, receive_ns, payload in iter_frames(path):
            yield receive_ns, _decoded(payload)
    else:
        for line in text.splitlines():
            found = _HEARD.fullmatch(line)
            if found is not None:
                stamp_ns = int(Decimal(found["at"].decode()) * 10**9)
                yield 0 if found["url"] else stamp_ns, _decoded(found["told"])


def _decoded(payload: bytes) -> Any:
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # half a message, garbage: a recording holds what came


def _listed(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the instruments of an answer that lists some."""
    result = document.get("result") if isinstance(document, dict) else None
    for row in result if isinstance(result, list) else [result]:
        if isinstance(row, dict) and {"tick_size", "instrument_name"} <= row.keys():
            yield row["instrument_name"], row


def _told(receive_ns: int, document: Any) -> Iterator[tuple[int, str, Any]]:
    """Yield what a message of a channel tells, if it is one that is played."""
    if not isinstance(document, dict) or document.get("method") != "subscription":
        return
    params = document.get("params")
    if not isinstance(params, dict) or not params.get("data"):
        return
    what, data = str(params.get("channel")).partition(".")[0], params["data"]
    if what in _WHATS and _names(data):
        yield receive_ns, what, data


def _names(data: Any) -> list[str]:
    rows = data if isinstance(data, list) else [data]
    return [row["instrument_name"] for row in rows
            if isinstance(row, dict) and "instrument_name" in row]  # fmt: skip


def _time_ms(data: Any) -> int:
    return int((data[-1] if isinstance(data, list) else data).get("timestamp", 0))
