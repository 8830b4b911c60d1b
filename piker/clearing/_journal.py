"""emsd's journal: each order as it stands, each thing told of it, on disk first.

    write (one transaction, survives SIGKILL) --> act --> sync (survives power) --> tell

The engine is SQLite, for that a half-written change undoes itself, that a reader may
look while emsd writes, and that its file is understood everywhere. It runs in WAL mode
with ``synchronous = NORMAL``: a commit is a ``write()`` to the log file and no more, so
it costs tens of microseconds; `sync` then has the log file on the disk, for all commits
so far at once, while the event loop goes on. The file belongs in the state folder,
never on a file system in memory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from zlib import crc32

import msgspec

from piker import config
from piker.errors import JournalBusy, JournalDamaged, JournalFull, JournalTooNew
from piker.files import sync_folder
from piker.log import get_logger
from piker.msgs import Status

from ._datasync import datasync
from ._dialog import Dialog

log = get_logger(__name__)

#: Of the layout below; a later piker counts on, and reads what is older.
VERSION: Final = 1
#: What marks the file as ours: "pkrj".
_APPLICATION: Final = 0x706B726A
#: Things told that are kept, the newest; and orders that have ended.
TELLS_KEPT: Final = 100_000
_FORGOTTEN_AT_ONCE: Final = 1_000
#: Bytes the log file has from the beginning. To write over what is there and is whole
#: is on the disk sooner than what makes a file longer.
_LOG_SIZE: Final = 4 << 20
_SCHEMA: Final = """
CREATE TABLE dialogs (oid TEXT PRIMARY KEY, live INTEGER NOT NULL, seq INTEGER NOT NULL,
                      crc INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX dialogs_live ON dialogs (live) WHERE live;
CREATE INDEX dialogs_over ON dialogs (seq) WHERE NOT live;
CREATE TABLE tells (seq INTEGER PRIMARY KEY, oid TEXT NOT NULL, crc INTEGER NOT NULL,
                    body BLOB NOT NULL);
CREATE TABLE notes (key TEXT PRIMARY KEY, crc INTEGER NOT NULL,
                    body BLOB NOT NULL) WITHOUT ROWID;
"""
#: Of each order there was one, to be written at each change of it.
_NEW_INDEX: Final = """
CREATE INDEX IF NOT EXISTS dialogs_over ON dialogs (seq) WHERE NOT live;
DROP INDEX IF EXISTS dialogs_seq;
"""
_SAVE: Final = """
INSERT INTO dialogs (oid, live, seq, crc, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (oid) DO UPDATE SET live = excluded.live, seq = excluded.seq,
                                crc = excluded.crc, body = excluded.body
"""
_TELL: Final = "INSERT INTO tells (seq, oid, crc, body) VALUES (?, ?, ?, ?)"
_NOTE: Final = """
INSERT INTO notes (key, crc, body) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET crc = excluded.crc, body = excluded.body
"""
T = TypeVar("T")
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
        self._is_closed = False
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
          notes: by key, anything msgspec can encode; None forgets one.

        Raises: JournalFull; the journal is as it was.
        """
        db = self._db
        try:
            with _transaction(db):
                for tell in tells:
                    body = _encode(tell)
                    db.execute(_TELL, (tell.seq, tell.oid, crc32(body), body))
                    self.seq = max(self.seq, tell.seq)
                for one in dialogs:
                    body = _encode(one)
                    live = not one.has_ended
                    db.execute(_SAVE, (one.oid, live, self.seq, crc32(body), body))
                for key, value in (notes or {}).items():
                    if value is None:
                        db.execute("DELETE FROM notes WHERE key = ?", (key,))
                        continue
                    body = _encode(value)
                    db.execute(_NOTE, (key, crc32(body), body))
        except sqlite3.OperationalError as err:
            raise JournalFull(
                f"can't write the order journal {self.path}: {err}; free some space on "
                "its disk"
            ) from None

    async def sync(self) -> None:
        """Have all that was written on the disk.

        Raises: OSError: it isn't.
        """
        fd = os.dup(self._log())  # it may be closed meanwhile, and be another file's
        try:
            await datasync(fd)
        finally:
            os.close(fd)

    def _log(self) -> int:
        if self._is_closed:
            raise OSError(errno.EBADF, "the journal is closed", str(self.path))
        if self._log_fd < 0:
            log_file = self.path.with_name(self.path.name + "-wal")
            # SQLite locks the main file and the index, never the log: closing this
            # descriptor lets go of no lock
            self._log_fd = os.open(log_file, os.O_RDWR)
        return self._log_fd

    def lengthen_log(self) -> None:
        """Give the log file its size, where there is room; before all else.

        What stands behind its last commit means nothing to SQLite, as what is left of
        an earlier round does.
        """
        with suppress(JournalFull, OSError):
            self.write(notes={"opened": time.time_ns()})  # there is a log from now on
            size = os.fstat(self._log()).st_size
            if size < _LOG_SIZE:
                os.pwrite(self._log(), bytes(_LOG_SIZE - size), size)

    def checkpoint(self) -> None:
        """Carry the log into the main file, and forget the oldest of what has ended.

        Opens a connection of its own, for that it may take a while: to be called off
        the event loop, by one task. Where there is no room the log goes on growing.
        """
        try:
            with _connected(self.path) as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as err:
            log.error("the log of %s grows: %s", self.path, err)  # noqa: TRY400

    def prune(self, keep: int = TELLS_KEPT) -> bool:
        """Forget some of the oldest things told, and of orders that ended before them.

        Returns whether there is more to forget: a call takes but some milliseconds.
        """
        oldest = self._one("SELECT min(seq) FROM tells")
        last = self.seq - keep
        if oldest is None or oldest > last:
            return False
        upto = min(last, oldest + _FORGOTTEN_AT_ONCE - 1)
        try:
            with _transaction(self._db) as db:
                db.execute("DELETE FROM tells WHERE seq <= ?", (upto,))
                db.execute("DELETE FROM dialogs WHERE NOT live AND seq <= ?", (upto,))
        except sqlite3.OperationalError as err:
            log.error("%s keeps what is old: %s", self.path, err)  # noqa: TRY400
            return False
        return upto < last

    # -- reading --------------------------------------------------------------

    def live(self) -> list[Dialog]:
        """Return the orders that haven't ended, the oldest change first.

        Raises, as all that read do: JournalDamaged.
        """
        rows = self._db.execute("SELECT crc, body FROM dialogs WHERE live ORDER BY seq")
        return [self._read(_dialogs.decode, row) for row in rows]

    def get(self, oid: str) -> Dialog | None:
        """Return an order, ended or not; None if it isn't known, or not any more."""
        row = self._db.execute(
            "SELECT crc, body FROM dialogs WHERE oid = ?", (oid,)
        ).fetchone()
        return None if row is None else self._read(_dialogs.decode, row)

    def tells_since(self, seq: int, most: int = 10_000) -> list[Status]:
        """Return what was told after *seq*, the newest *most* of it, in order."""
        rows = self._db.execute(
            "SELECT crc, body FROM tells WHERE seq > ? ORDER BY seq DESC LIMIT ?",
            (seq, most),
        ).fetchall()
        return [self._read(_tells.decode, row) for row in reversed(rows)]

    def note(self, key: str, kind: Any, default: Any) -> Any:
        """Return the note *key* as a *kind*, *default* if there is none."""
        row = self._db.execute(
            "SELECT crc, body FROM notes WHERE key = ?", (key,)
        ).fetchone()
        decode = partial(msgspec.json.decode, type=kind)
        return default if row is None else self._read(decode, row)

    def notes(self, start: str, kind: Any) -> dict[str, Any]:
        """Return the notes whose keys begin with *start*, each a *kind*."""
        rows = self._db.execute(
            "SELECT key, crc, body FROM notes WHERE substr(key, 1, ?) = ? ORDER BY key",
            (len(start), start),
        ).fetchall()
        decode = partial(msgspec.json.decode, type=kind)
        return {key: self._read(decode, (crc, body)) for key, crc, body in rows}

    def _read(self, decode: Callable[[bytes], T], row: tuple[int, bytes]) -> T:
        return _read(self.path, decode, row)

    def close(self) -> None:
        """Let go of it."""
        self._is_closed = True
        self._db.close()
        for fd in (self._log_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._log_fd = self._lock_fd = -1


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


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Make all changes of the block, or none."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.OperationalError):
            db.execute("ROLLBACK")
        raise


def _read(path: Path, decode: Callable[[bytes], T], row: tuple[int, bytes]) -> T:
    crc, body = row
    if crc32(body) != crc:
        raise _damaged(path, "a row isn't what was written")
    try:
        return decode(body)
    except msgspec.DecodeError as err:
        raise _damaged(path, err) from None


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
        else:
            db.executescript(_NEW_INDEX)
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
    with _transaction(db):
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {VERSION}")


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


@contextmanager
def view_journal(path: Path) -> Iterator[Journal]:
    """Open the journal at *path* to read it, whoever writes it.

    Raises: FileNotFoundError; JournalTooNew, JournalDamaged.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        with _connected(path, "ro") as db:
            _check_ours(db, path, is_new=False)
            yield Journal(path, -1, db)
    except sqlite3.DatabaseError as err:
        raise _damaged(path, err) from None


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


def verify_journal(path: Path) -> dict[str, int]:
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
                _read(path, _dialogs.decode, row)
                for row in db.execute("SELECT crc, body FROM dialogs")
            ]
            told = 0
            for row in db.execute("SELECT crc, body FROM tells"):
                _read(path, _tells.decode, row)
                told += 1
    except sqlite3.DatabaseError as err:
        raise _damaged(path, err) from None
    live = sum(not one.has_ended for one in dialogs)
    return {"live": live, "ended": len(dialogs) - live, "told": told}
