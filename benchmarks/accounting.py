"""Accounting: trades into positions, a ledger opened and appended to.

trades in memory --positions_of--> positions
ledger.toml --cache: warm; text: cold--> trades          floor: tomllib.load of the file
trade --append--> ledger.toml                            floor: a write and fdatasync
"""

from __future__ import annotations

import os
import random
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

from piker import config
from piker.accounting import (
    AccountName,
    Transaction,
    open_ledger,
    positions_of,
    read_ledger,
)

from ._procs import on_disk
from ._report import Measure, Report, alternate, compared

FLOOR = "tomllib.load of the same file; a bare write and fdatasync of as many bytes"
NAME: Final = AccountName(broker="sim", label="paper")
MARKETS: Final = 20


def run(
    rounds: int = 5, trades: int = 1_000_000, rows: int = 100_000, appends: int = 200
) -> Report:
    """Measure *trades* in memory, and a ledger of *rows*."""
    with _disk() as disk:
        measures = (
            _positions(rounds, trades),
            *_opened(rounds, rows),
            *_appended(rounds, appends, rows, disk),
        )
    return Report("accounting", FLOOR, measures)


@contextmanager
def _disk() -> Iterator[Path]:
    """Yield a folder on a disk, which is also all of piker's."""
    with (
        on_disk("accounting") as disk,
        config.use_dirs(config.Dirs.under(disk)),
    ):
        yield disk


def make_trades(count: int) -> list[Transaction]:
    """Return trades of some markets that grow, shrink, flip and end positions."""
    draws = random.Random(7)
    return [
        Transaction(
            tid=f"T{i:09}",
            fqme=f"m{i % MARKETS}usdt.spot.sim",
            size=Decimal(draws.choice((-1, 1)) * draws.randint(1, 9999)) / 1000,
            price=Decimal(draws.randint(90_000, 110_000)) / 100,
            cost=Decimal(draws.randint(0, 999)) / 10_000,
            time_ns=1_700_000_000_000_000_000 + 1_234_567_891 * i,
            oid=f"6b7f0a52-0d7f-4b3e-9d67-{i:012}",
            reqid=str(10_000_000 + i),
            taker=i % 3 == 0,
        )
        for i in range(count)
    ]


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _positions(rounds: int, count: int) -> Measure:
    trades = make_trades(count)
    took = [_timed(lambda: positions_of(trades)) for _ in range(rounds)]
    return compared(
        f"{count:,} trades to positions", "s", took, rule="<=", target=3e-6 * count
    )


def _opened(rounds: int, rows: int) -> tuple[Measure, ...]:
    with open_ledger(NAME.broker, NAME.label) as ledger:
        ledger.append(*make_trades(rows))

    def read() -> None:
        assert len(read_ledger(NAME.broker, NAME.label)) == rows

    def cold() -> float:
        NAME.cache.unlink(missing_ok=True)
        return _timed(read)

    def bare() -> float:
        with NAME.ledger.open("rb") as file:
            return _timed(lambda: tomllib.load(file))

    ours, theirs = alternate(rounds, cold, bare)
    warm = [_timed(read) for _ in range(2 * rounds)]
    _edit()
    edited, again = alternate(rounds, cold, bare)
    return (
        compared(f"{rows:,} rows opened, warm", "s", warm, rule="<=", target=1.0),
        compared(f"{rows:,} rows opened, cold", "s", ours, theirs, target=1.3),
        compared("the same, edited by hand", "s", edited, again, target=1.3),
    )


def _edit() -> None:
    """Write a number as only a human does, so that tomllib has to read it."""
    text = NAME.ledger.read_text()
    NAME.ledger.write_text(text.replace("cost = ", "cost = +", 1))


def _appended(rounds: int, appends: int, rows: int, disk: Path) -> tuple[Measure, ...]:
    """Measure appends to the ledger, each in turn with a bare write of its bytes."""
    ours: list[float] = []
    floor: list[float] = []
    sizes: list[int] = []
    trades = make_trades(rows + rounds * appends)[rows:]
    with (
        open_ledger(NAME.broker, NAME.label) as ledger,
        (disk / "floor").open("w+b", buffering=0) as file,
    ):
        for trade in trades:
            before = NAME.ledger.stat().st_size
            ours.append(1e3 * _timed(lambda trade=trade: ledger.append(trade)))
            sizes.append(NAME.ledger.stat().st_size - before)
            raw = bytes(sizes[-1])
            began = time.perf_counter()
            os.write(file.fileno(), raw)
            os.fdatasync(file.fileno())
            floor.append(1e3 * (time.perf_counter() - began))
    told = compared("one trade appended, durable", "ms", ours, floor)
    beyond = compared(
        "of it: beyond twice the floor", "ms", [told.ours - 2 * (told.floor or 0.0)],
        rule="<=", target=1.0,
    )  # fmt: skip
    largest = compared(
        f"bytes written after {rows:,} rows", "B", [max(sizes)], rule="<=", target=1000
    )
    return told, beyond, largest
