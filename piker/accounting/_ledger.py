"""An account's ledger: trades in a text file, appended by one writer, durable at once.

    fill --append: one write, fdatasync--> trades_<broker>_<account>.toml --> serial
                                                    ^ an editor, while no writer is

Serials count the tables from 1 in the file's order. All functions here are sync: call
them in a thread where a task must not wait for a disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from piker.errors import LedgerBusy, LedgerChanged, LedgerError, LedgerFull
from piker.files import put_whole, sync_folder
from piker.log import get_logger, own_name
from piker.msgs import PAPER

from ._cache import store
from ._content import Content, market_fault, read_content
from ._lines import table_text
from ._places import AccountName, list_accounts, make_ledgers_dir
from ._position import Position, positions_of
from ._transaction import Transaction, fault_of

log = get_logger(__name__)

_HEAD: Final = """\
# Trades of {name}, one table each, in the order in which they were booked.
# Edit it by hand while nothing writes it; `piker ledger audit {name}` checks it.

"""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LedgerView:
    """What a ledger said when it was read.

    Attributes:
      name: whose it is.
      torn: a sentence on an append that a crash had cut off, empty if there was none.
    """

    def __init__(self, name: AccountName, content: Content) -> None:
        self.name = name
        self.torn = ""
        self._txns = content.txns
        self._seqs = {txn.tid: seq for seq, txn in enumerate(content.txns, 1)}

    def __len__(self) -> int:
        return len(self._txns)

    @property
    def seq(self) -> int:
        """Serial of the last transaction, 0 if there is none."""
        return len(self._txns)

    @property
    def txns(self) -> tuple[Transaction, ...]:
        """All transactions, in the file's order."""
        return tuple(self._txns)

    def since(self, seq: int) -> tuple[tuple[int, Transaction], ...]:
        """Return (serial, transaction) of all after *seq*; of all there are after 0."""
        return tuple(enumerate(self._txns[max(seq, 0) :], max(seq, 0) + 1))

    def seq_of(self, tid: str) -> int | None:
        """Return the serial of a trade, None if it isn't here."""
        return self._seqs.get(tid)

    def txn_at(self, seq: int) -> Transaction:
        """Return the transaction of a serial that is here."""
        return self._txns[seq - 1]

    def positions(self) -> dict[str, Position]:
        """Return what the transactions come to, by full name, flat ones too.

        Raises: LedgerError.
        """
        return positions_of(self._txns)


class Ledger(LedgerView):
    """A ledger that this process alone writes; close it, or use it as ``with``."""

    def __init__(self, name: AccountName, lock_fd: int) -> None:
        """Open the file of *name*, made if absent; who calls has its lock.

        Raises: LedgerDamaged; LedgerError; OSError.
        """
        self._lock_fd = lock_fd
        self._guard = Lock()
        self._path = name.ledger
        self._fd = _open_file(self._path)
        try:
            raw = _read_fd(self._fd)
            content = read_content(name, raw)
            super().__init__(name, content)
            self._cached = len(content.txns)
            self._size = content.size
            if content.torn:
                self.torn = _set_aside(name.ledger, content.torn)
                self._cut_off()
            self._stat = os.fstat(self._fd)
            if not self._size:
                self._write(_HEAD.format(name=name).encode())
            elif raw[self._size - 1 : self._size] != b"\n":
                self._write(b"\n\n")  # an editor left it out
        except BaseException:
            os.close(self._fd)
            raise

    def append(self, *txns: Transaction) -> int:
        """Book *txns*, all in one write, none of them if it fails; durable on return.

        One that is here already, by its tid and with the same contents, is booked once.

        Returns:
          the serial of the last of *txns*.

        Raises:
          LedgerFull: the disk is; the file is as it was, try again.
          LedgerChanged: somebody else wrote to the file; open it again.
          LedgerError: one of *txns* has a fault, or another's tid; or the disk fails.
        """
        with self.appending(*txns) as fd:
            if fd is not None:
                os.fdatasync(fd)
        return self._seqs[txns[-1].tid] if txns else self.seq

    @contextmanager
    def appending(self, *txns: Transaction) -> Iterator[int | None]:
        """Book *txns* as `append` does, for who has the file synced in the block.

        They are booked at the block's end, or not at all where it raises; one at a
        time. Yields the file's descriptor, to be synced; None if nothing is new.
        Raises: as `append`.
        """
        with self._guard:
            fresh: dict[str, Transaction] = {}
            for txn in txns:
                known = self._known(txn, fresh)
                if known is None:
                    self._refuse_faults(txn)
                    fresh[txn.tid] = txn
                elif known != txn:
                    raise LedgerError(
                        f"trade {txn.tid!r} is in the ledger of {self.name} with other "
                        f"contents: {known}, got {txn}"
                    )
            if not fresh:
                yield None
                return
            with self._writing("".join(map(table_text, fresh.values())).encode()) as fd:
                yield fd
            for tid, txn in fresh.items():
                self._txns.append(txn)
                self._seqs[tid] = len(self._txns)

    def close(self) -> None:
        """Let go of the file and its lock."""
        with self._guard:
            if self._fd < 0:
                return
            if len(self._txns) > self._cached:
                self._note_in_cache()
            os.close(self._fd)
            self._fd = -1
            os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _known(
        self, txn: Transaction, fresh: dict[str, Transaction]
    ) -> Transaction | None:
        seq = self._seqs.get(txn.tid)
        return self._txns[seq - 1] if seq else fresh.get(txn.tid)

    def _refuse_faults(self, txn: Transaction) -> None:
        fault = fault_of(txn)
        if not fault and (wrong := market_fault(self.name.broker, txn.fqme)):
            fault = ("fqme", wrong)
        if fault:
            raise LedgerError(
                f"can't book trade {txn.tid!r} for {self.name}: {fault[0]}: {fault[1]}"
            )

    def _write(self, raw: bytes) -> None:
        """Put *raw* at the end, durably, or leave the file as it is."""
        with self._writing(raw) as fd:
            os.fdatasync(fd)

    @contextmanager
    def _writing(self, raw: bytes) -> Iterator[int]:
        """Put *raw* at the end, for who syncs it; undone if that raises."""
        if self._fd < 0:
            raise LedgerError(f"the ledger of {self.name} is closed: open it again")
        self._refuse_changed()
        try:
            self._put(raw)
            yield self._fd
        except BaseException as err:
            self._take_back()
            if not isinstance(err, OSError):
                raise
            kind = LedgerFull if err.errno in _FULL else LedgerError
            raise kind(
                f"can't write {self.name.ledger}: {err.strerror or err}; it is as "
                "it was"
            ) from None
        self._size += len(raw)
        self._stat = os.fstat(self._fd)

    def _put(self, raw: bytes) -> None:
        if os.pwrite(self._fd, raw, self._size) != len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _refuse_changed(self) -> None:
        """Refuse to write to what isn't the file that was read any more."""
        with suppress(FileNotFoundError):
            now, then = os.stat(self._path), self._stat
            if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (
                then.st_dev, then.st_ino, then.st_size, then.st_mtime_ns
            ):  # fmt: skip
                return
        raise LedgerChanged(
            f"{self.name.ledger} was changed or removed by another program while it "
            "was open: open it again; edit it while nothing writes it"
        )

    def _take_back(self) -> None:
        """Cut off what may have come to the file; if that fails write no more."""
        try:
            self._cut_off()
            self._stat = os.fstat(self._fd)
        except OSError as err:
            log.error(  # noqa: TRY400 - said in one line
                "can't undo an append ledger=%s: %s", self.name.ledger, err
            )
            os.close(self._fd)
            self._fd = -1
            os.close(self._lock_fd)

    def _cut_off(self) -> None:
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)

    def _note_in_cache(self) -> None:
        with suppress(LedgerError, OSError):
            self._refuse_changed()
            store(self.name.cache, _read_fd(self._fd), self._txns)


def open_ledger(broker: str, account: str) -> Ledger:
    """Return the ledger of an account, to append to; the file is made if absent.

    Args:
      broker: backend.
      account: ``<label>`` or ``<broker>.<label>``.

    What a crash cut off is set aside in a file beside it, and said in `Ledger.torn`.
    Raises: LedgerBusy; LedgerDamaged; LedgerError; UsageError.
    """
    name = AccountName.of(broker, account)
    make_ledgers_dir()
    try:
        lock_fd = _take_lock(name)
        try:
            return Ledger(name, lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
    except OSError as err:
        raise LedgerError(f"can't open {name.ledger}: {err.strerror or err}") from None


def read_ledger(broker: str, account: str) -> LedgerView:
    """Return what the ledger of an account says now; takes no lock, writes nothing.

    Args: as of `open_ledger`.
    Raises: LedgerDamaged; LedgerError, e.g. there is none; UsageError.
    """
    name = AccountName.of(broker, account)
    try:
        raw = name.ledger.read_bytes()
    except FileNotFoundError:
        raise LedgerError(f"no ledger of {name}: there is no {name.ledger}") from None
    except OSError as err:
        raise LedgerError(f"can't read {name.ledger}: {err.strerror or err}") from None
    content = read_content(name, raw)
    view = LedgerView(name, content)
    if content.torn:
        view.torn = (
            f"{len(content.torn)} bytes at the end of {name.ledger} are a trade that "
            "is being written, or that a crash cut off"
        )
    return view


def booked_elsewhere(
    name: AccountName, tids: Collection[str]
) -> tuple[AccountName, str] | None:
    """Return another live account of the broker that has one of these trades, and it.

    Raises: LedgerDamaged; LedgerError.
    """
    for other in list_accounts():
        if other.broker != name.broker or other == name or other.label == PAPER:
            continue
        view = read_ledger(other.broker, other.label)
        for tid in tids:
            if view.seq_of(tid) is not None:
                return other, tid
    return None


def _take_lock(name: AccountName) -> int:
    """Return a descriptor that holds the lock; raises LedgerBusy, OSError."""
    fd = os.open(name.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
        os.close(fd)
        raise LedgerBusy(
            f"process {holder or '?'} writes the ledger of {name}: stop it first, a"
            " daemon with `piker services stop NAME`"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    with suppress(OSError):  # who holds it is told for people alone
        os.ftruncate(fd, 0)
        # of a daemon the program is the same for all
        what = own_name() or Path(sys.argv[0]).name
        os.pwrite(fd, f"{os.getpid()} ({what})".encode(), 0)
    return fd


def _open_file(path: Path) -> int:
    """Return a descriptor of the ledger, which is made, durably, if it isn't there."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        sync_folder(path.parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _read_fd(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    raw = bytearray()
    while len(raw) < size and (more := os.pread(fd, size - len(raw), len(raw))):
        raw += more
    return bytes(raw)


def _set_aside(path: Path, torn: bytes) -> str:
    """Keep *torn* in a file beside *path*; return what is to be said of it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.torn-{stamp}-{os.getpid()}")
    put_whole(aside, torn, durable=True, mode=0o600)
    told = (
        f"a crash cut off the last trade of {path}: its {len(torn)} bytes are set "
        f"aside in {aside.name}; nobody was told that it is booked"
    )
    log.warning("%s", told)
    return told
