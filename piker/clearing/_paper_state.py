"""All that a paper market knows, as values that can be stored and read again."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ._paper_order import PaperOrder
from ._queue import Book
from ._touch import Touch


class Coming(msgspec.Struct, order=True):
    """Something on its way to the market.

    Attributes:
      due_ns: when it counts.
      serial: what came first counts first.
      kind: what it is.
      oid: of the order.
    """

    due_ns: int
    serial: int
    kind: Literal["order", "edit", "cancel"]
    oid: str


def _books() -> dict[int, Book]:
    return {1: Book(), -1: Book()}


class PaperState(msgspec.Struct, kw_only=True):
    """All that a paper market knows; written and read as it is.

    Attributes:
      now_ns: the market's time.
      position: lots held, negative of a short.
      orders: by id, the ended ones among them.
      ended: their ids, oldest first.
      books: of resting orders, by side.
      unsettled: ids of orders that wait for quotes: to be seen by the market at all, or
        to take more.
      reducers: ids of orders that may only reduce the position.
      coming: a heap.
      serial: of the last in it.
      last_tid: newest trade that was seen, -1 for none.
    """

    now_ns: int = 0
    position: int = 0
    orders: dict[str, PaperOrder] = msgspec.field(default_factory=dict)
    ended: dict[str, None] = msgspec.field(default_factory=dict)
    books: dict[int, Book] = msgspec.field(default_factory=_books)
    touch: Touch = msgspec.field(default_factory=Touch)
    unsettled: dict[str, None] = msgspec.field(default_factory=dict)
    reducers: dict[str, None] = msgspec.field(default_factory=dict)
    coming: list[Coming] = msgspec.field(default_factory=list)
    serial: int = 0
    last_tid: int = -1


def dump_state(state: PaperState) -> bytes:
    """Return a market's state as bytes."""
    return msgspec.msgpack.encode(state)


def load_state(dumped: bytes) -> PaperState:
    """Return a market's state from bytes; raises msgspec.DecodeError."""
    state: Any = msgspec.msgpack.decode(dumped, type=PaperState)
    return state
