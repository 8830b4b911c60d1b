"""The floor of an order's way: hops between bare actors, writes that reach the disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ._procs import Program, bare_tree
from ._report import quantile

#: Of a hop's message: a status of an order has as many.
_SIZE: Final = 500
#: Of a write before an fdatasync: a fill in the ledger has as many.
_WRITE: Final = 400


@dataclass
class Floor:
    """The way of an order made of the least there is, see ``_bare.chain``.

    Attributes:
      program: goes it as often as it is told.
      hops, syncs: ms of those of each way.
    """

    program: Program
    hops: list[float] = field(default_factory=list)
    syncs: list[float] = field(default_factory=list)

    def ms(self, count: int) -> list[float]:
        """Return ms of *count* ways: 6 hops, 2 writes with fdatasync."""
        self.program.tell(count)
        told = self.program.hear()
        took = [ns / 1e6 for ns in told["all"]]
        syncs = [ns / 1e6 for ns in told["syncs"]]
        self.hops += [(all_ms - ms) / 6 for all_ms, ms in zip(took, syncs, strict=True)]
        self.syncs += [ms / 2 for ms in syncs]
        return took

    @property
    def note(self) -> str:
        """What it is made of."""
        hop, sync = quantile(self.hops, 0.5), quantile(self.syncs, 0.5)
        return f"a bare hop is {hop:.2f} ms, a write with fdatasync {sync:.2f} ms"


@contextmanager
def open_floor(disk: Path) -> Iterator[Floor]:
    """Yield a floor whose writes go to *disk*."""
    with bare_tree("source") as tree:
        told = {
            "datad": tree.root.hear_key("addr"), "size": _SIZE, "write": _WRITE,
            "path": str(disk / "floor"),
        }  # fmt: skip
        with tree.client("chain", **told) as chain:
            chain.hear_key("ready")
            yield Floor(chain)
