"""When a daemon is restarted, and when it isn't: pure rules, one table.

starting -> running <-> unresponsive     a death, a hang   -> backoff -> starting
                                         too many deaths   -> quarantined
                                         a command         -> stopping -> stopped
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from piker.msgs import State

Event = Literal[
    "up", "missed", "beat", "died", "retry", "exhausted", "stop", "ended", "restart"
]

#: state -> event -> next state; what is absent changes nothing.
NEXT: Final[dict[State, dict[Event, State]]] = {
    "starting": {
        "up": "running",
        "died": "backoff",
        "stop": "stopping",
        "restart": "stopping",
        "ended": "stopped",
    },
    "running": {
        "missed": "unresponsive",
        "died": "backoff",
        "stop": "stopping",
        "restart": "stopping",
        "ended": "stopped",
    },
    "unresponsive": {
        "beat": "running",
        "died": "backoff",
        "stop": "stopping",
        "restart": "stopping",
        "ended": "stopped",
    },
    "backoff": {
        "retry": "starting",
        "restart": "starting",
        "exhausted": "quarantined",
        "stop": "stopped",
    },
    "quarantined": {"restart": "starting", "stop": "stopped"},
    "stopping": {"died": "stopped", "ended": "stopped"},
    "stopped": {"restart": "starting"},
}


def next_state(state: State, event: Event) -> State:
    """Return the state after *event*; the same where the event means nothing to it."""
    return NEXT[state].get(event, state)


@dataclass(frozen=True)
class Policy:
    """The numbers of supervision; seconds and counts.

    Attributes:
      at_boot: what work waits for is started with the tree, e.g. emsd if an order does.
        A tree that only looks at something leaves it to the one that is the user's.
    """

    delays_s: tuple[float, ...] = (0.0, 0.0, 0.5, 1.0, 2.0, 4.0)
    stable_s: float = 60.0
    max_deaths: int = 5
    window_s: float = 60.0
    beat_s: float = 1.0
    unresponsive_beats: int = 5
    kill_beats: int = 10
    at_boot: bool = True

    @classmethod
    def told(cls, told: dict[str, Any] | None) -> Policy:
        """Return the one that a tree was told of, made by ``asdict``; or the usual."""
        if not told:
            return cls()
        return cls(**told | {"delays_s": tuple(told["delays_s"])})


@dataclass
class Backoff:
    """The deaths of one daemon, and what they mean."""

    policy: Policy = field(default_factory=Policy)
    deaths: deque[float] = field(default_factory=deque)
    failed_starts: int = 0
    _row: int = 0

    def died(self, now_s: float, uptime_s: float) -> float | None:
        """Return seconds to wait before the next start; None: quarantine.

        Starts that fail in a row count however long each took: six that run into their
        deadline never fit into the window.

        Args:
          now_s: monotonic time of the death.
          uptime_s: how long it had been up, 0 if it never was.
        """
        policy = self.policy
        if uptime_s >= policy.stable_s:
            self._row = 0
        self.failed_starts = 0 if uptime_s > 0 else self.failed_starts + 1
        self.deaths.append(now_s)
        while self.deaths and self.deaths[0] <= now_s - policy.window_s:
            self.deaths.popleft()
        if max(len(self.deaths), self.failed_starts) > policy.max_deaths:
            return None
        delay = policy.delays_s[min(self._row, len(policy.delays_s) - 1)]
        self._row += 1
        return delay

    def forgive(self) -> None:
        """Forget the deaths: a person has looked at it."""
        self.deaths.clear()
        self.failed_starts = self._row = 0

    def __str__(self) -> str:
        """Say what it died of too often."""
        if len(self.deaths) > self.policy.max_deaths:
            return f"died {len(self.deaths)} times in {self.policy.window_s:g} s"
        return f"failed to start {self.failed_starts} times in a row"


@dataclass
class Pulse:
    """Heartbeats, counted in ticks of the supervisor's own clock.

    A supervisor that slept (a suspended laptop, a Ctrl-Z) counts one tick for all of
    that time, so what it missed while asleep is held against nobody.
    """

    policy: Policy = field(default_factory=Policy)
    missed: int = 0
    _beaten: bool = True

    def beat(self) -> None:
        """Note a heartbeat."""
        self._beaten = True

    def tick(self) -> Literal["ok", "missed", "kill"]:
        """Return what the last tick's silence means."""
        self.missed = 0 if self._beaten else self.missed + 1
        self._beaten = False
        if self.missed >= self.policy.kill_beats:
            return "kill"
        return "missed" if self.missed >= self.policy.unresponsive_beats else "ok"
