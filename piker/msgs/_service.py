"""What pikerd says of its services."""

from __future__ import annotations

from typing import Literal

from piker.types import Struct

State = Literal[
    "starting", "running", "unresponsive", "backoff", "quarantined", "stopping",
    "stopped",
]  # fmt: skip


class ServiceInfo(Struct, frozen=True, kw_only=True, tag="service"):
    """One daemon-actor as pikerd sees it.

    Attributes:
      name: actor name.
      pid: of its process, -1 if it has none now.
      state: of its supervision.
      uptime_s: seconds since it came up, 0 if it isn't up.
      restarts: how often it was restarted.
      rss_mb: resident memory, MiB.
      cpu: percent of one core since the last look.
      address: ``host:port`` it listens on, may be empty.
      reason: why it is in that state, may be empty.
      doing: what it says it is doing, e.g. how far history is loaded; may be empty.
    """

    name: str
    pid: int
    state: State
    uptime_s: float
    restarts: int
    rss_mb: float
    cpu: float
    address: str
    reason: str
    doing: str = ""


class ServiceEvent(Struct, frozen=True, kw_only=True, tag="service_event"):
    """A change of a service's state.

    Attributes:
      name: actor name.
      state: the new one.
      time_ns: wall clock.
      pid: of the process concerned, -1 if none.
      exit_code: of a dead process; negative is the signal; None if it didn't die.
      reason: one sentence, may be empty.
      traceback: of an error that ended it, may be empty.
      restarts: how often it was restarted.
    """

    name: str
    state: State
    time_ns: int
    pid: int = -1
    exit_code: int | None = None
    reason: str = ""
    traceback: str = ""
    restarts: int = 0
