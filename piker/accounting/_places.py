"""Where an account's files are.

state folder/accounting/
  ledgers/trades_<broker>_<account>.toml    what happened; the user's to edit
  account.<broker>.<account>.toml           derived from it
cache folder/accounting/trades_<broker>_<account>.msgpack

A ledger must not be lost and is written by daemons, so it lies in the state folder, not
in that of the configuration.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from piker import config
from piker.errors import LedgerError, UsageError
from piker.files import sync_folder
from piker.types import Struct

# No '_' and no '.': the broker ends at the first of them in a file's name.
_BROKER: Final = re.compile(r"[a-z][a-z0-9]*")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LEDGER: Final = re.compile(
    r"trades_([a-z][a-z0-9]*)_([A-Za-z0-9][A-Za-z0-9_-]*)\.toml"
)


class AccountName(Struct, frozen=True, kw_only=True):
    """Whose ledger it is; ``str()`` is ``<broker>.<label>``.

    Attributes:
      broker: backend.
      label: of the account, e.g. ``paper``.
    """

    broker: str
    label: str

    @classmethod
    def of(cls, broker: str, account: str) -> AccountName:
        """Return the name; *account* may be ``<label>`` or ``<broker>.<label>``.

        Raises: UsageError.
        """
        # By prefix, never by a set of characters: ``ib.ira`` is ``ira``.
        label = account.removeprefix(f"{broker}.")
        if not _BROKER.fullmatch(broker):
            raise UsageError(
                f"an account's broker is a-z, then a-z and 0-9, got {broker!r}"
            )
        if not _LABEL.fullmatch(label):
            raise UsageError(
                f"an account's label is 1 to 64 of A-Z, a-z, 0-9, '_' and '-', got "
                f"{label!r}"
            )
        return cls(broker=broker, label=label)

    @classmethod
    def parse(cls, text: str) -> AccountName:
        """Take ``<broker>.<label>`` apart. Raises UsageError."""
        broker, dot, label = text.partition(".")
        if not dot:
            raise UsageError(
                f"an account is BROKER.LABEL, e.g. sim.paper, got {text!r}"
            )
        return cls.of(broker, label)

    def __str__(self) -> str:
        return f"{self.broker}.{self.label}"

    @property
    def ledger(self) -> Path:
        """Of what happened."""
        return ledgers_dir() / f"trades_{self.broker}_{self.label}.toml"

    @property
    def lock(self) -> Path:
        """Who holds a lock on it is the ledger's one writer.

        Not the ledger itself: an editor puts another file in its place.
        """
        return self.ledger.with_suffix(".lock")

    @property
    def account_file(self) -> Path:
        """Of what is derived."""
        return accounting_dir() / f"account.{self.broker}.{self.label}.toml"

    @property
    def cache(self) -> Path:
        """Of what the ledger says, in binary."""
        return (config.cache_dir() / "accounting" / self.ledger.name).with_suffix(
            ".msgpack"
        )


def accounting_dir() -> Path:
    """Return the folder of accounts; it need not exist."""
    return config.state_dir() / "accounting"


def ledgers_dir() -> Path:
    """Return the folder of ledgers; it need not exist."""
    return accounting_dir() / "ledgers"


def make_ledgers_dir() -> None:
    """Make the folders of accounts and ledgers, private, durably.

    Raises: LedgerError; ConfigError.
    """
    folder = ledgers_dir()
    for private in (config.state_dir(), folder.parent, folder):
        config.make_private(private)
    try:
        # Not only those that are new: who made them may have been killed before this.
        for above in folder.parents[:3]:
            sync_folder(above)
    except OSError as err:
        raise LedgerError(
            f"can't make the folder {ledgers_dir()}: {err.strerror or err}"
        ) from None


def list_accounts() -> list[AccountName]:
    """Return the accounts that have a ledger, by name."""
    found = (_LEDGER.fullmatch(path.name) for path in ledgers_dir().glob("trades_*"))
    names = (AccountName(broker=m[1], label=m[2]) for m in found if m)
    return sorted(names, key=str)
