"""What a benchmark found, as a table and as JSON.

A measure stands beside a floor or a peer that was run in the same minute, in turn with
it: on a shared machine a ratio means something, a number alone does not.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Literal

Rule = Literal["x<=", ">=", "<="]
Samples = list[float]

_HEAD: Final = ("measure", "ours", "p99", "floor", "p99", "ratio", "target", "")


def quantile(samples: Iterable[float], share: float) -> float:
    """Return the smallest sample that *share* of all don't exceed; nan of none."""
    ranked = sorted(samples)
    if not ranked:
        return float("nan")
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One row: what piker took, what the floor took, and what was aimed at.

    Attributes:
      name: of the row.
      unit: of all its numbers.
      ours, ours_p99: median and 99th percentile; of few samples p99 is the worst.
      floor, floor_p99: the same of what it is compared with, None if with nothing.
      rule, target: what must hold of the ratio (``x<=``) or of *ours* (``>=``,
        ``<=``); a row without a target informs.
    """

    name: str
    unit: str
    ours: float
    ours_p99: float | None = None
    floor: float | None = None
    floor_p99: float | None = None
    rule: Rule = "x<="
    target: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to the floor's."""
        return self.ours / self.floor if self.floor else None

    @property
    def ok(self) -> bool | None:
        """Whether the target is met, None if there is none."""
        if self.target is None:
            return None
        if self.rule == "x<=":
            return self.ratio is not None and self.ratio <= self.target
        return (
            self.ours >= self.target if self.rule == ">=" else self.ours <= self.target
        )

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**told, "ratio": self.ratio, "ok": self.ok}

    def cells(self) -> tuple[str, ...]:
        """Return it as words of a table."""
        wanted = {"x<=": "<= {:g}x", ">=": ">= {:g}", "<=": "<= {:g}"}[self.rule]
        return (
            f"{self.name}, {self.unit}",
            _shown(self.ours),
            _shown(self.ours_p99),
            _shown(self.floor),
            _shown(self.floor_p99),
            f"{self.ratio:.2f}x" if self.ratio is not None else "",
            wanted.format(self.target) if self.target is not None else "",
            {None: "", True: "ok", False: "MISSED"}[self.ok],
        )


def compared(
    name: str,
    unit: str,
    ours: Sequence[float],
    floor: Sequence[float] = (),
    *,
    rule: Rule = "x<=",
    target: float | None = None,
) -> Measure:
    """Return the row of two lists of samples, one a round."""
    return Measure(
        name=name,
        unit=unit,
        ours=median(ours),
        ours_p99=quantile(ours, 0.99),
        floor=median(floor) if floor else None,
        floor_p99=quantile(floor, 0.99) if floor else None,
        rule=rule,
        target=target,
    )


@dataclass(frozen=True)
class Report:
    """All rows of one benchmark.

    Attributes:
      name: of the benchmark.
      floor: a sentence, what it was compared with.
      notes: sentences on what the numbers don't show.
    """

    name: str
    floor: str
    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether no target is missed."""
        return not any(measure.ok is False for measure in self.measures)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, and where and when it was measured, for JSON."""
        return {
            "name": self.name,
            "floor": self.floor,
            "measures": [measure.as_dict() for measure in self.measures],
            "notes": list(self.notes),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": machine(),
        }

    def table(self) -> str:
        """Return it for people."""
        rows = [_HEAD, *(measure.cells() for measure in self.measures)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.name}: floor is {self.floor}"]
        for row in rows:
            first, *rest = (
                cell.ljust(width) if not i else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            lines.append(("  " + "  ".join((first, *rest))).rstrip())
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)


def machine() -> str:
    """Return what the numbers were measured on, in a few words."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, python {platform.python_version()}"


def alternate(
    rounds: int, ours: Callable[[], Any], floor: Callable[[], Any]
) -> tuple[list[Any], list[Any]]:
    """Run both *rounds* times in turn; return what they returned."""
    pairs = [(ours(), floor()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
