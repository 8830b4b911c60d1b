"""Every error piker raises on purpose, one class per decision of the caller.

An error crosses a process boundary as its class name and its text, so each class
here is built from **one** string of one line: what was wanted, what came, what
would work. ``exit_code`` is what a command ends with when the error reaches it.
"""

from __future__ import annotations

from typing import ClassVar


class PikerError(Exception):
    """Root of all errors of ours; catch it to catch them all."""

    exit_code: ClassVar[int] = 1


class UsageError(PikerError):
    """What the user typed can't be done; exit code 2."""

    exit_code = 2


class BadFqme(UsageError):
    """A market name that doesn't parse."""


class BrokerNotFound(UsageError):
    """No backend of that name."""


class SymbolNotFound(UsageError):
    """The backend has no such market."""


class ConfigError(PikerError):
    """A config file, a key or a value in it is wrong; the text names file and key."""


class ServiceError(PikerError):
    """A daemon could not be found, started or stopped."""


class ServiceQuarantined(ServiceError):
    """The daemon died too often and waits for ``piker services restart NAME``."""


class ServiceStopped(ServiceError):
    """The daemon was stopped by command and stays so until it is restarted."""


class RegistryUnreachable(ServiceError):
    """No pikerd answers at the address."""


class PikerdNotServing(RegistryUnreachable):
    """The pikerd at the address is about to end, or not up yet; try again."""


class AddressInUse(ServiceError):
    """The registry address is taken: by another pikerd, or by something else."""


class Unauthorised(ServiceError):
    """The caller did not show the tree's cookie."""


class ChartNotFound(PikerError):
    """No chart is open that could be drawn in."""


class TransportClosed(PikerError):
    """The process or the connection at the far end is gone; wait for it and retry."""


class DeadlineExceeded(PikerError):
    """The far end lives but did not answer in time."""


class Overrun(PikerError):
    """The caller took what it asked for too slowly and was let go; ask again."""


class RemoteFailure(PikerError):
    """The far end raised something that is not one of our errors."""


class ShmError(PikerError):
    """A shared-memory buffer can't be used."""


class ShmBusy(ShmError):
    """Another live process writes the buffer."""


class ShmMismatch(ShmError):
    """Not a buffer of ours, of another layout, market or period."""


class ShmFull(ShmError):
    """The shared-memory file system has no room for the buffer."""


class StoreError(PikerError):
    """Stored bars can't be used."""


class StoreBusy(StoreError):
    """Another live process writes this market's bars."""


class StoreTooNew(StoreError):
    """A later piker wrote it; this one leaves it alone."""


class StoreDamaged(StoreError):
    """A stored file isn't what was written; it is set aside, what it held is a hole."""


class StoreFull(StoreError):
    """The disk has no room; what was stored before is as it was."""


class OrderError(PikerError):
    """Something about orders went wrong."""


class OrderRefused(OrderError):
    """An order, an edit or a cancel won't be done; nothing has changed."""


class OrderUnknown(OrderError):
    """Nobody can say yet what became of a request; ask again with the same id.

    A command ends with 3 then.
    """

    exit_code = 3


class AccountNotFound(UsageError):
    """No account of that name."""


class JournalError(OrderError):
    """The order journal can't be used."""


class JournalBusy(JournalError):
    """Another live process writes the order journal."""


class JournalTooNew(JournalError):
    """A later piker wrote the order journal; this one leaves it alone."""


class JournalDamaged(JournalError):
    """The order journal isn't what was written."""


class JournalFull(JournalError):
    """The disk has no room; what was journaled before is as it was."""


class LedgerError(PikerError):
    """A ledger or what is to be booked in it can't be used."""


class LedgerBusy(LedgerError):
    """Another live process writes the ledger; the text names it."""


class LedgerDamaged(LedgerError):
    """A value in a ledger is wrong; the text names file, line and key."""


class LedgerChanged(LedgerError):
    """Somebody else changed the file while it was open for writing; open it again."""


class LedgerFull(LedgerError):
    """The disk has no room; the ledger is as it was."""


class VenueError(PikerError):
    """Something about a venue went wrong."""


class VenueUnreachable(VenueError):
    """The venue can't be reached now; retry later."""


class VenueRefused(VenueError):
    """The venue said no; a retry would hear the same."""


class MarketGone(VenueRefused):
    """The venue doesn't have the market, or no more; all else of it may go on."""


class RateLimited(VenueError):
    """The venue asks for a pause."""


class BadPayload(VenueError):
    """A frame that is not what the venue's documents say."""


class NoData(VenueError):
    """The venue has no history for the span asked for."""


class SessionFileError(UsageError):
    """A recorded session that can't be played."""


def _subclasses(cls: type[PikerError]) -> list[type[PikerError]]:
    return [cls, *(c for s in cls.__subclasses__() for c in _subclasses(s))]


def error_types() -> dict[str, type[PikerError]]:
    """Return every error class by its name, as errors travel between processes."""
    return {cls.__name__: cls for cls in _subclasses(PikerError)}
