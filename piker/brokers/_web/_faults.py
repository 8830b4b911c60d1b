"""Faults by kind: each counted, each kind logged once, then as sums."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

#: Kinds that are told apart; the rest counts as one.
_MAX_KINDS: Final = 64
_SUM_EVERY_S: Final = 60.0
_PARTICULAR: Final = re.compile(r"b?(['\"]).*|\d+")


@dataclass(eq=False)
class FaultLog:
    """Counts what goes wrong without flooding the log.

    Attributes:
      log: where to.
      who: named in each line.
      counts: faults by kind: their text without numbers and quotations.
    """

    log: logging.Logger | logging.LoggerAdapter[logging.Logger]
    who: str
    counts: Counter[str] = field(default_factory=Counter)
    _told: dict[str, tuple[float, int]] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Count a fault; log the first of its kind, then a sum a minute at most."""
        kind = _PARTICULAR.sub("", text)[:80]
        if kind not in self.counts and len(self.counts) >= _MAX_KINDS:
            kind = "others"
        self.counts[kind] += 1
        now = time.monotonic()
        told_at, told = self._told.get(kind, (-_SUM_EVERY_S, 0))
        if now - told_at < _SUM_EVERY_S:
            return
        more = self.counts[kind] - told
        self._told[kind] = now, self.counts[kind]
        times = f" ({more} times)" if told else ""
        self.log.warning("%s: %s%s", self.who, text, times)
