"""What a paper engine holds against its ledger.

    emsd that runs | a tree of our own --positions--> compared --> account file

The engine that runs is asked. Where none does, one is started in a tree of its own, and
nothing of that is left.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec
import trio

from piker import config
from piker.accounting import AccountName, LedgerView, audit, read_ledger, write_account
from piker.clearing import open_ems, open_paper_line
from piker.msgs import BrokerdPosition, Fqme
from piker.service import (
    Addr,
    Policy,
    call_endpoint,
    open_piker_runtime,
    open_pikerd,
    open_portal_to,
    probe,
)
from piker.service._rpc import list_services

#: Until a fill that is in the ledger already was told, and the other way round.
SETTLE_S: Final = 5.0
_RETRY_S: Final = 0.1
#: Of a tree that is there for one question.
LOOKS_ONLY: Final = Policy(at_boot=False)
ZERO: Final = Decimal(0)
_COMPARED: Final = ("size", "avg_price", "bep", "realized", "fees")


@dataclass(frozen=True)
class Synced:
    """What came of it.

    Attributes:
      account: which.
      trades: in the ledger.
      positions: of the engine.
      differences: a sentence each where engine and ledger differ.
      notes: what else is to be known, e.g. of the account file as it was.
      asked: ``emsd``, or ``private`` for an engine that was started for it.
    """

    account: str
    trades: int
    positions: tuple[BrokerdPosition, ...]
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    asked: str


async def sync_paper(addr: Addr, name: AccountName, private: Addr) -> Synced:
    """Compare a paper engine with its ledger and write the account file anew.

    Args:
      addr: of the registry of the tree that may run.
      name: of the account.
      private: where a tree of our own may listen.

    Raises: LedgerError; what keeps the engine from being had.
    """
    if await _is_served(addr, name.broker):
        async with (
            open_piker_runtime("sync", addr),
            open_ems(after_seq=-1) as (client, *_),
        ):
            return await _sync(name, client.positions, "emsd")
    with private_runtime():
        async with (
            open_pikerd(private, policy=LOOKS_ONLY, log_level="warning"),
            open_paper_line(name.broker) as (init, _),
        ):
            held = {(each.account, each.symbol): each for each in init.positions}
            return await _sync(name, held, "private")


@contextmanager
def private_runtime(*, looks: bool = True) -> Iterator[None]:
    """Have a tree of our own leave no lock or note in the user's runtime folder.

    Args:
      looks: it sends no order and ends none.
    """
    with tempfile.TemporaryDirectory(prefix="piker-sync-") as folder:
        dirs = config.current_dirs()
        with config.use_dirs(msgspec.structs.replace(dirs, runtime=folder)):
            if looks:
                config.mark_for_looks()
            yield


async def _is_served(addr: Addr, broker: str) -> bool:
    """Tell whether a tree runs that has the engine."""
    if await probe(addr) is None:
        return False
    async with open_piker_runtime("sync", addr), open_portal_to(addr) as portal:
        infos = await call_endpoint(portal, list_services)
    return f"paperboi.{broker}" in {info.name for info in infos}


async def _sync(
    name: AccountName, told: Mapping[tuple[str, str], BrokerdPosition], asked: str
) -> Synced:
    """Compare; *told* is by (account, market), and may be kept up to date meanwhile."""
    held: list[BrokerdPosition] = []
    differences: list[str] = []
    view = read_ledger(name.broker, name.label)
    with trio.move_on_after(SETTLE_S):
        while True:
            held = [each for key, each in sorted(told.items()) if _is_of(each, name)]
            differences = compare(view, held)
            if not differences:
                break
            await trio.sleep(_RETRY_S)
            view = read_ledger(name.broker, name.label)
    before = audit(view)
    write_account(view)
    return Synced(
        account=str(name),
        trades=len(view),
        positions=tuple(each for each in held if each.size),
        differences=tuple(differences),
        notes=(*before.notes, *before.differences),
        asked=asked,
    )


def _is_of(position: BrokerdPosition, name: AccountName) -> bool:
    return position.account == name.label and (
        Fqme.parse(position.symbol).broker == name.broker
    )


def compare(view: LedgerView, told: Iterable[BrokerdPosition]) -> list[str]:
    """Return a sentence for each thing in which *told* differs from a ledger."""
    name = view.name
    ours = {
        fqme: each.to_msg(name.broker, name.label)
        for fqme, each in view.positions().items()
    }
    theirs = {each.symbol: each for each in told}
    flat = BrokerdPosition(
        broker=name.broker, account=name.label, symbol="", size=ZERO, avg_price=ZERO
    )
    found = []
    for fqme in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(fqme, flat), theirs.get(fqme, flat)
        if not one.size and not other.size:
            continue
        found += [
            f"{fqme}: {key} is {getattr(other, key)} at the engine,"
            f" {getattr(one, key)} by the ledger"
            for key in _COMPARED
            if getattr(one, key) != getattr(other, key)
        ]
    return found
