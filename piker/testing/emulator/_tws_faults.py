"""Faults that only a TWS has: of its answers, its farms and its line to IB."""

from __future__ import annotations

from typing import Literal

from ._fault_base import Count, Fault, Seconds


class Answer(Fault, frozen=True):
    """Answer a request for data wrongly.

    Attributes:
      on: ``details``, ``symbols``, ``chains``, ``rule``, ``head``, ``bars``,
        ``ticks``, ``market``, ``time``, ``positions``, ``open``, ``completed``,
        ``executions``, ``account``, ``commission``; any if empty.
      how: *seconds* late; never; twice; after the answer that comes next; with an
        error of *code* instead; with bytes that mean nothing; the connection breaks
        in the middle of it.
      count: answers that it strikes; 0 is all until it is cleared.
    """

    on: str = ""
    how: Literal["late", "never", "twice", "swapped", "error", "garbage", "cut"] = (
        "never"
    )
    seconds: Seconds = 0.5
    code: int = 322
    count: Count = 1


class Limbo(Fault, frozen=True):
    """Take the next *count* connections, and say nothing on them; 0 is all."""

    count: Count = 1


class Farm(Fault, frozen=True):
    """Have a farm be down: what it tells doesn't come.

    Attributes:
      name: ``usfarm`` (shares), ``usopt``, ``usfuture``, ``cashfarm``, ``cryptofarm``,
        ``ushmds`` (history), ``secdefil`` (contracts).
      seconds: 0 is until it is cleared.
    """

    name: Literal[
        "usfarm", "usopt", "usfuture", "cashfarm", "cryptofarm", "ushmds", "secdefil"
    ] = "usfarm"
    seconds: Seconds = 0


class Connectivity(Fault, frozen=True):
    """Lose the line to IB: no data comes, and orders wait.

    Attributes:
      seconds: 0 is until it is cleared.
      lost: what was subscribed is forgotten, and has to be asked for again.
    """

    seconds: Seconds = 1
    lost: bool = False


class Reset(Fault, frozen=True):
    """Start anew, as each night: all connections end, nobody listens for a while."""

    seconds: Seconds = 1


class Notice(Fault, frozen=True):
    """Tell all clients a notice of the system."""

    code: int
    text: str = ""


class Mute(Fault, frozen=True):
    """Forget all lines of market data, and say nothing of it."""


OwnFault = Farm | Connectivity | Notice | Mute
