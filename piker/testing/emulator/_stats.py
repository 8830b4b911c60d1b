"""What an emulated venue counts, for tests to assert."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class Stats:
    """Counters since the start.

    Attributes:
      connections: accepted, of both kinds.
      connections_now: open.
      websockets: handshakes that succeeded.
      websockets_now: open.
      attempts_s: when each websocket handshake came, seconds since the start.
      subscribed: how often each stream was subscribed.
      requests: REST requests by path; not those of the control paths.
      statuses: answers by status.
      limited: requests beyond the budget.
      weight_max: the most that was used in any minute.
      frames: market-data frames that were due to somebody.
      sent: frames put on the wire, each client's.
      slow_clients: cut off because they did not read.
    """

    connections: int = 0
    connections_now: int = 0
    websockets: int = 0
    websockets_now: int = 0
    attempts_s: list[float] = field(default_factory=list)
    subscribed: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    limited: int = 0
    weight_max: int = 0
    frames: int = 0
    sent: int = 0
    slow_clients: int = 0
    started: float = field(default_factory=time.monotonic)

    def age_s(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "started"}
