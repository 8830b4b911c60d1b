"""``python -m benchmarks NAME [--json] [--rounds N]``; NAME may be ``all`` or ``list``.

Each benchmark runs piker and its floor in turn, in trees of their own on loopback, and
exits 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from types import ModuleType
from typing import Final

from ._report import Report

NAMES: Final = (
    "boot",
    "fanout",
    "restart",
    "shm",
    "replay",
    "attach",
    "klines",
    "search",
    "aio",
    "ib",
    "wire",
    "isolation",
    "store",
    "history",
    "darks",
    "accounting",
    "clearing",
    "live",
    "chart",
)


def module(name: str) -> ModuleType:
    """Return the benchmark called *name*; it has ``run(rounds)``."""
    return importlib.import_module(f"benchmarks.{name}")


def list_all() -> str:
    """Return what there is, a line each."""
    lines = []
    for name in NAMES:
        told = (module(name).__doc__ or "").strip().splitlines()[0]
        lines.append(f"{name:10}  {told}")
    return "\n".join(lines)


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("name", choices=[*NAMES, "all", "list"])
    parser.add_argument("--json", action="store_true", help="JSON, a report a line")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    asked = parser.parse_args()
    if asked.name == "list":
        print(list_all())
        return 0
    reports: list[Report] = []
    for name in NAMES if asked.name == "all" else (asked.name,):
        report: Report = module(name).run(rounds=asked.rounds)
        print(json.dumps(report.as_dict()) if asked.json else f"{report.table()}\n")
        sys.stdout.flush()
        reports.append(report)
    return 0 if all(report.ok for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
