"""What paper markets know, on disk: a state, and the inputs that came since.

    input --log--> noted --commit, in a thread--> SQLite --> what it led to may be told
    many inputs, or nothing live --keep--> a state, and the inputs before it are dropped

What is noted waits in memory, and no one waits for a disk but who is to tell of it.
A commit survives SIGKILL, as it is in the page cache by then (WAL, synchronous=NORMAL);
a power cut may take the last of them. SQLite, as the journal of emsd: one file, written
and read whole or not at all, and any tool opens it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

import msgspec

from piker.config import make_private
from piker.errors import StoreDamaged, StoreError, StoreFull, StoreTooNew
from piker.log import get_logger
from piker.msgs import BrokerdOrder, BrokerdStatus, MktPair, Tick
from piker.types import Struct

from ._paper_rules import PaperRules
from ._paper_state import PaperState

log = get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Of the tables' form. 2: when an order ended.
VERSION: Final = 2
#: Orders that are over of which it is known how they ended, the newest.
ENDED_KEPT: Final = 100_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS markets (
    fqme TEXT PRIMARY KEY, mkt BLOB NOT NULL, rules BLOB NOT NULL, state BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inputs (
    serial INTEGER PRIMARY KEY, fqme TEXT NOT NULL, method TEXT NOT NULL,
    time_ns INTEGER NOT NULL, told BLOB
);
CREATE INDEX IF NOT EXISTS inputs_of ON inputs (fqme, serial);
CREATE TABLE IF NOT EXISTS ended (
    oid TEXT PRIMARY KEY, fqme TEXT NOT NULL, asked BLOB NOT NULL, status BLOB NOT NULL,
    time_ns INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_TO_2: Final = "ALTER TABLE ended ADD COLUMN time_ns INTEGER NOT NULL DEFAULT 0"
_PRUNE: Final = """
DELETE FROM ended WHERE oid IN
    (SELECT oid FROM ended ORDER BY time_ns DESC LIMIT -1 OFFSET ?)
"""
#: What the methods of a market take besides the time.
_TOLD: Final[dict[str, Any]] = {
    "submit": BrokerdOrder,
    "change": BrokerdOrder,
    "cancel": str,
    "ticks": list[Tick],
}


class SavedRules(Struct, frozen=True, kw_only=True):
    """The numbers of a market's rules; its fees are the backend's."""

    latency_ns: int
    cancel_latency_ns: int
    max_quote_age_ns: int
    trade_lag_ns: int
    slippage_ticks: int

    @classmethod
    def of(cls, rules: PaperRules) -> SavedRules:
        """Return the numbers of *rules*."""
        return cls(**{name: getattr(rules, name) for name in cls.__struct_fields__})


class Saved(Struct, frozen=True, kw_only=True):
    """A market as it was kept.

    Attributes:
      mkt: the market.
      rules: what it was like, which the inputs since then count by.
      state: what it knew.
    """

    mkt: MktPair
    rules: SavedRules
    state: PaperState


class EndedOrder(Struct, frozen=True, kw_only=True):
    """An order that is over.

    Attributes:
      fqme: its market.
      asked: the order, as it came.
      status: its end.
    """

    fqme: str
    asked: BrokerdOrder
    status: BrokerdStatus


def _mapped(
    method: Callable[Concatenate[PaperStore, P], T],
) -> Callable[Concatenate[PaperStore, P], T]:
    """Let no error of SQLite out as what it is."""

    @wraps(method)
    def mapped(self: PaperStore, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except sqlite3.OperationalError as e:
            kind = StoreFull if "full" in str(e) else StoreError
            raise kind(f"can't use the paper state {self.path}: {e}") from e
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as e:
            raise StoreDamaged(
                f"the paper state {self.path} is damaged: {e}; move it away to begin "
                "without open paper orders"
            ) from e

    return cast("Callable[Concatenate[PaperStore, P], T]", mapped)


#: What is written at once: statements and what goes into them.
Batch = list[tuple[str, tuple[Any, ...]]]


class PaperStore:
    """The paper state of one broker.

    Notes and reads are of one thread; `write` may be of another.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, made if absent.

        Raises: StoreTooNew; StoreDamaged; StoreError.
        """
        self.path = path
        make_private(path.parent)
        self._noted: Batch = []
        self._is_whole = True
        self._ended: dict[str, EndedOrder] = {}
        self._ended_before: dict[str, EndedOrder] = {}
        self._open()

    @_mapped
    def _open(self) -> None:
        self._db = db = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False
        )
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # not on the event loop
            found = db.execute("PRAGMA user_version").fetchone()[0]
            self._refuse_later(found)
            if found == 1:
                db.execute(_TO_2)
            if found < VERSION:
                db.executescript(_TABLES)
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute(_PRUNE, (ENDED_KEPT,))
            self._over = {oid for (oid,) in db.execute("SELECT oid FROM ended")}
            # one that reads while another thread writes
            self._reader = sqlite3.connect(self.path, isolation_level=None)
        except BaseException:
            db.close()
            raise

    def _refuse_later(self, version: int) -> None:
        if version > VERSION:
            raise StoreTooNew(
                f"the paper state {self.path} is of version {version}, this piker "
                f"knows {VERSION}: use the later one"
            )

    def log(self, fqme: str, method: str, time_ns: int, told: Any = None) -> None:
        """Note an input of a market; it counts with the next `commit`."""
        raw = None if told is None else msgspec.msgpack.encode(told)
        self._note(
            "INSERT INTO inputs (fqme, method, time_ns, told) VALUES (?, ?, ?, ?)",
            fqme,
            method,
            time_ns,
            raw,
        )

    def keep(self, mkt: MktPair, rules: PaperRules, state: PaperState) -> None:
        """Keep a market's state; its inputs so far are in it."""
        encode = msgspec.msgpack.encode
        self._note(
            "INSERT OR REPLACE INTO markets VALUES (?, ?, ?, ?)",
            mkt.fqme,
            encode(mkt),
            encode(SavedRules.of(rules)),
            encode(state),
        )
        self._note("DELETE FROM inputs WHERE fqme = ?", mkt.fqme)

    def drop(self, fqme: str) -> None:
        """Forget a market in which no order lives; those that are over are kept."""
        self._note("DELETE FROM markets WHERE fqme = ?", fqme)
        self._note("DELETE FROM inputs WHERE fqme = ?", fqme)

    def note_ended(self, order: EndedOrder) -> None:
        """Note an order that is over; it counts with the next `commit`."""
        encode = msgspec.msgpack.encode
        self._ended[order.asked.oid] = order
        self._over.add(order.asked.oid)
        self._note(
            "INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?)",
            order.asked.oid,
            order.fqme,
            encode(order.asked),
            encode(order.status),
            order.status.time_ns,
        )

    def _note(self, statement: str, *values: Any) -> None:
        self._noted.append((statement, values))

    def commit(self) -> None:
        """Let what was noted count."""
        self.write(self.take())

    def take(self) -> Batch:
        """Return what was noted, to be written; what was taken before is by now."""
        noted, self._noted = self._noted, []
        self._ended, self._ended_before = {}, self._ended
        return noted

    @_mapped
    def write(self, batch: Batch) -> None:
        """Let a batch count, all of it.

        Raises: StoreFull: none of it counts, it may be written again; StoreError: open
          the store anew.
        """
        if not batch:
            return
        self._is_whole = False
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for statement, values in batch:
                self._db.execute(statement, values)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._is_whole = True

    def checkpoint(self) -> None:
        """Carry SQLite's log into the main file; to be called off the event loop.

        By a connection of its own. Where there is no room the log goes on growing.
        """
        try:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as err:
            log.error("the log of %s grows: %s", self.path, err)  # noqa: TRY400

    @_mapped
    def markets(self) -> list[Saved]:
        """Return the markets that were kept."""
        rows = self._reader.execute("SELECT mkt, rules, state FROM markets").fetchall()
        decode = msgspec.msgpack.decode
        return [
            Saved(
                mkt=decode(mkt, type=MktPair),
                rules=decode(rules, type=SavedRules),
                state=decode(state, type=PaperState),
            )
            for mkt, rules, state in rows
        ]

    @_mapped
    def inputs(self, fqme: str) -> list[tuple[str, int, Any]]:
        """Return (method, time, told) of each input since a market was kept."""
        return list(self._iter_inputs(fqme))

    def _iter_inputs(self, fqme: str) -> Iterator[tuple[str, int, Any]]:
        rows = self._reader.execute(
            "SELECT method, time_ns, told FROM inputs WHERE fqme = ? ORDER BY serial",
            (fqme,),
        )
        for method, time_ns, raw in rows:
            kind = _TOLD.get(method)
            told = None if kind is None else msgspec.msgpack.decode(raw, type=kind)
            yield method, time_ns, told

    @_mapped
    def ended(self, oid: str) -> EndedOrder | None:
        """Return an order that is over, None if it isn't, or isn't known."""
        if oid not in self._over:
            return None
        noted = self._ended.get(oid) or self._ended_before.get(oid)
        if noted is not None:
            return noted
        row = self._reader.execute(
            "SELECT fqme, asked, status FROM ended WHERE oid = ?", (oid,)
        ).fetchone()
        if row is None:
            return None
        decode = msgspec.msgpack.decode
        return EndedOrder(
            fqme=row[0],
            asked=decode(row[1], type=BrokerdOrder),
            status=decode(row[2], type=BrokerdStatus),
        )

    def close(self) -> None:
        """Let what was noted count, unless what was before it doesn't; let go."""
        try:
            if self._is_whole:
                self.commit()
        finally:
            self.drop_all()

    def drop_all(self) -> None:
        """Let go of the file; what was noted and not written is lost."""
        self._reader.close()
        self._db.close()
