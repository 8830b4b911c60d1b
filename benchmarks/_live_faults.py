"""Each fault at each step of live orders' lives, in trees of real daemons.

an emulated venue that does something wrong, a daemon that is killed
    --> venue, ledger, position, journal and what clients were told agree
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from piker.clearing import open_ems
from piker.clearing._journal import journal_path, verify_journal
from piker.service import Policy
from piker.testing import open_test_pikerd
from tests.brokers._kills import Storm, Stormed
from tests.brokers._live import BINANCE, At, Live, open_live
from tests.brokers._matrix import Case, Found, Runner
from tests.clearing._trade import Trader

#: A daemon that dies so often is started again at once.
PATIENT = Policy(max_deaths=10_000, delays_s=(0.0,))
#: More than any case takes.
_CASE_S = 90.0
#: Than any kill.
_KILL_S = 20.0


async def run_cases(
    folder: Path,
    cases: Iterable[Case],
    show: Callable[[Found], None],
    at: At = BINANCE,
) -> list[Found]:
    """Run cases, one after the other in one tree; tell of each."""
    wanted = list(cases)
    found = []
    async with _open(folder, at, 60 + _CASE_S * len(wanted)) as (live, me):
        runner = Runner(live, me)
        for case in wanted:
            found.append(await runner.run(case))
            show(found[-1])
    return found


async def kill_orders(folder: Path, kills: int, seed: int, at: At = BINANCE) -> Stormed:
    """Kill a venue's order daemon so often while orders rest and fill."""
    async with _open(folder, at, 120 + _KILL_S * kills) as (live, me):
        return await Storm(live, me, seed).ride(kills)


@asynccontextmanager
async def _open(
    folder: Path, at: At, deadline_s: float
) -> AsyncIterator[tuple[Live, Trader]]:
    """Yield a tree with a live account, and who trades there."""
    opened = partial(open_test_pikerd, folder / "tree")
    async with open_live(opened, at=at, policy=PATIENT, deadline_s=deadline_s) as live:
        async with open_ems(at.fqme, mode="live") as session:
            yield live, Trader(session)
        verify_journal(journal_path())  # raises where it is damaged
