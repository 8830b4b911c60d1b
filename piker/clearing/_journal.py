"""emsd's journal: each order as it stands, each thing told of it, on disk first.

    write (one transaction, survives SIGKILL) --> act --> sync (survives power) --> tell

The engine is SQLite, for that a half-written change undoes itself, that a reader may
look while emsd writes, and that its file is understood everywhere. It runs in WAL mode
with ``synchronous = NORMAL``: a commit is a ``write()`` to the log file and no more, so
it costs tens of microseconds; `sync` then has the log file on the disk, for all commits
so far at once, and is called off the event loop. The file belongs in the state folder,
never on a file system in memory.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from piker import config
from piker.errors import JournalBusy, JournalDamaged, JournalFull, JournalTooNew
from piker.files import sync_folder
from piker.msgs import Status

from ._dialog import Dialog

#: Of the layout below; a later piker counts on, and reads what is older.
VERSION: Final = 1
#: What marks the file as ours: "pkrj".
_APPLICATION: Final = 0x706B726A
#: Things told that are kept, the newest; and orders that have ended.
TELLS_KEPT: Final = 100_000
_SCHEMA: Final = """
CREATE TABLE dialogs (oid TEXT PRIMARY KEY, live INTEGER NOT NULL, seq INTEGER NOT NULL,
                      body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX dialogs_live ON dialogs (live) WHERE live;
CREATE INDEX dialogs_seq ON dialogs (seq);
CREATE TABLE tells (seq INTEGER PRIMARY KEY, oid TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE notes (key TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_SAVE: Final = """
INSERT INTO dialogs (oid, live, seq, body) VALUES (?, ?, ?, ?)
ON CONFLICT (oid) DO UPDATE SET live = excluded.live, seq = excluded.seq,
                                body = excluded.body
"""
_NOTE: Final = """
INSERT INTO notes (key, body) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET body = excluded.body
"""
_dialogs = msgspec.json.Decoder(Dialog)
_tells = msgspec.json.Decoder(Status)
_encode = msgspec.json.Encoder().encode


def journal_path() -> Path:
    """Return where this user's journal lies, whether it exists or not."""
    return Path(config.state_dir()) / "ems" / "journal.sqlite"


class Journal:
    """The journal, open for writing; one process at a time has it."""

    def __init__(self, path: Path, lock_fd: int, db: sqlite3.Connection) -> None:
        self.path = path
        self._lock_fd = lock_fd
        self._db = db
        self._log_fd = -1
        self.seq = self._one("SELECT coalesce(max(seq), 0) FROM tells")

    def _one(self, query: str, *args: object) -> Any:
        row = self._db.execute(query, args).fetchone()
        return None if row is None else row[0]

    # -- writing --------------------------------------------------------------

    def write(
        self,
        dialogs: Iterable[Dialog] = (),
        tells: Iterable[Status] = (),
        notes: dict[str, Any] | None = None,
    ) -> None:
        """Write what has changed, all or nothing; on return SIGKILL can't undo it.

        Args:
          dialogs: as they stand now.
          tells: what is told of them, each with its serial.
          notes: by key, anything msgspec can encode.

        Raises: JournalFull; the journal is as it was.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for tell in tells:
                self._db.execute(
                    "INSERT INTO tells VALUES (?, ?, ?)",
                    (tell.seq, tell.oid, _encode(tell)),
                )
                self.seq = max(self.seq, tell.seq)
            for one in dialogs:
                self._db.execute(
                    _SAVE, (one.oid, not one.has_ended, self.seq, _encode(one))
                )
            for key, value in (notes or {}).items():
                self._db.execute(_NOTE, (key, _encode(value)))
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as err:
            with suppress(sqlite3.OperationalError):
                self._db.execute("ROLLBACK")
            raise JournalFull(
                f"can't write the order journal {self.path}: {err}; free some space on "
                "its disk"
            ) from None

    def sync(self) -> None:
        """Have all that was written on the disk; to be called off the event loop.

        Raises: OSError: it isn't.
        """
        if self._log_fd < 0:
            log_file = self.path.with_name(self.path.name + "-wal")
            # SQLite locks the main file and the index, never the log: closing this
            # descriptor lets go of no lock
            self._log_fd = os.open(log_file, os.O_RDWR)
        os.fdatasync(self._log_fd)

    def checkpoint(self) -> None:
        """Carry the log into the main file, and forget the oldest of what has ended.

        Opens a connection of its own, for that it may take a while: to be called off
        the event loop, by one task.
        """
        with _connected(self.path) as db:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def prune(self, keep: int = TELLS_KEPT) -> None:
        """Forget the oldest things told, and orders that ended before them."""
        before = self.seq - keep
        if before <= 0:
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM tells WHERE seq <= ?", (before,))
        self._db.execute("DELETE FROM dialogs WHERE NOT live AND seq <= ?", (before,))
        self._db.execute("COMMIT")

    # -- reading --------------------------------------------------------------

    def live(self) -> list[Dialog]:
        """Return the orders that haven't ended, the oldest change first."""
        rows = self._db.execute("SELECT body FROM dialogs WHERE live ORDER BY seq")
        return [_dialogs.decode(body) for (body,) in rows]

    def get(self, oid: str) -> Dialog | None:
        """Return an order, ended or not; None if it isn't known, or not any more."""
        body = self._one("SELECT body FROM dialogs WHERE oid = ?", oid)
        return None if body is None else _dialogs.decode(body)

    def tells_since(self, seq: int, most: int = 10_000) -> list[Status]:
        """Return what was told after *seq*, the newest *most* of it, in order."""
        rows = self._db.execute(
            "SELECT body FROM tells WHERE seq > ? ORDER BY seq DESC LIMIT ?",
            (seq, most),
        ).fetchall()
        return [_tells.decode(body) for (body,) in reversed(rows)]

    def note(self, key: str, kind: Any, default: Any) -> Any:
        """Return the note *key* as a *kind*, *default* if there is none."""
        body = self._one("SELECT body FROM notes WHERE key = ?", key)
        return default if body is None else msgspec.json.decode(body, type=kind)

    def notes(self, prefix: str, kind: Any) -> dict[str, Any]:
        """Return all notes whose key begins with *prefix*, by the rest of the key."""
        rows = self._db.execute(
            "SELECT key, body FROM notes WHERE substr(key, 1, ?) = ?",
            (len(prefix), prefix),
        )
        return {
            key[len(prefix) :]: msgspec.json.decode(body, type=kind)
            for key, body in rows
        }

    def close(self) -> None:
        """Let go of it."""
        self._db.close()
        for fd in (self._log_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)


@contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open the journal at *path*, made if absent, for the length of the block.

    Raises:
      JournalBusy: another process writes it.
      JournalTooNew: a later piker wrote it; it is left as it is.
      JournalDamaged: it isn't what was written; it is left as it is.
      JournalFull: no room to make it.
    """
    config.make_private(path.parent)
    lock_fd = _lock(path)
    try:
        db = _open(path)
    except BaseException:
        os.close(lock_fd)
        raise
    journal = Journal(path, lock_fd, db)
    try:
        yield journal
    finally:
        journal.close()


def _lock(path: Path) -> int:
    fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode(errors="replace").strip() or "?"
        os.close(fd)
        raise JournalBusy(
            f"the order journal {path} is another process's (pid {holder}); one tree "
            "has it at a time: end that one, or use another state folder"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd


def _open(path: Path) -> sqlite3.Connection:
    is_new = not path.exists()
    try:
        db = sqlite3.connect(path, isolation_level=None, timeout=5.0)
        _check_ours(db, path, is_new=is_new)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA wal_autocheckpoint = 0")  # not on the event loop
        if is_new or not db.execute("PRAGMA user_version").fetchone()[0]:
            _make(db)
            path.chmod(0o600)
            sync_folder(path.parent)
    except sqlite3.OperationalError as err:
        raise JournalFull(f"can't use the order journal {path}: {err}") from None
    except sqlite3.DatabaseError as err:
        raise _damaged(path, err) from None
    return db


def _check_ours(db: sqlite3.Connection, path: Path, *, is_new: bool) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    mark = db.execute("PRAGMA application_id").fetchone()[0]
    if version > VERSION:
        raise JournalTooNew(
            f"the order journal {path} has layout {version}, this piker knows "
            f"{VERSION}: a later piker wrote it; use that one, or another state folder"
        )
    if not is_new and version and mark != _APPLICATION:
        raise _damaged(path, "it is another program's")


def _make(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _damaged(path: Path, why: object) -> JournalDamaged:
    return JournalDamaged(
        f"the order journal {path} can't be read: {why}; `piker doctor` says more; "
        "move it away to begin a new one: orders it held are forgotten then"
    )


@contextmanager
def _connected(path: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(
        f"file:{path}?mode={mode}", uri=True, isolation_level=None, timeout=5.0
    )
    try:
        yield db
    finally:
        db.close()


# -- for those who only look ---------------------------------------------------------


def count_live(path: Path) -> int:
    """Return how many orders of the journal at *path* haven't ended; 0 if it is none.

    Raises: JournalTooNew, JournalDamaged.
    """
    if not path.exists():
        return 0
    try:
        with _connected(path, "ro") as db:
            _check_ours(db, path, is_new=False)
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                return 0
            return db.execute("SELECT count(*) FROM dialogs WHERE live").fetchone()[0]
    except sqlite3.DatabaseError as err:
        raise _damaged(path, err) from None


def verify(path: Path) -> dict[str, int]:
    """Read all of the journal at *path* and return how much there is of what.

    Raises: JournalTooNew; JournalDamaged: a page, or an order, can't be read.
    """
    if not path.exists():
        return {"live": 0, "ended": 0, "told": 0}
    try:
        with _connected(path, "ro") as db:
            _check_ours(db, path, is_new=False)
            found = db.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise _damaged(path, found)
            dialogs = [
                _dialogs.decode(body)
                for (body,) in db.execute("SELECT body FROM dialogs")
            ]
            told = 0
            for (body,) in db.execute("SELECT body FROM tells"):
                _tells.decode(body)
                told += 1
    except (sqlite3.DatabaseError, msgspec.DecodeError) as err:
        raise _damaged(path, err) from None
    live = sum(not one.has_ended for one in dialogs)
    return {"live": live, "ended": len(dialogs) - live, "told": told}
