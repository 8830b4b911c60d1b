"""The emulator's process: from its options to a served port, and its orderly end."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from piker.errors import UsageError

from ._core import Core, Venue
from ._faults import Skew, parse_fault
from ._player import Player
from ._server import Server
from ._sources import LiveTape, tape_of_sessions
from ._tape import Tape

_PAST_S: Final = 3600.0  # of sim's markets, if nobody says
_PARENT_S: Final = 0.5


@dataclass(frozen=True)
class Options:
    """What to emulate.

    Attributes:
      venue: one of `VENUES`.
      sessions: files to play, or
      sim: markets of sim, by full name.
      speed: of a session; 0 is as fast as clients take it.
      port: of 127.0.0.1; 0 is any.
      past_s: of the tape that has passed at the start, None for what is usual.
      history_s: of sim's bars before the tape.
      streams: the tape starts when so many are subscribed; 0 is at once.
      made_up: markets to list besides those of the tape.
      budget: of requests, None for what the venue's documents say.
      ping_s: between pings, None for what they say.
      faults: in force from the start, JSON.
      hours: of tws: sim's markets trade ``always``, or when their kind does.
    """

    venue: str
    sessions: Sequence[Path] = ()
    sim: Sequence[str] = ()
    speed: float = 1.0
    port: int = 0
    past_s: float | None = None
    history_s: float = 0.0
    streams: int = 1
    made_up: int = 0
    budget: int | None = None
    ping_s: float | None = None
    faults: Sequence[str] = field(default=())
    hours: str = "always"


def open_tape(options: Options) -> Tape:
    """Return the tape that *options* ask for; UsageError, SessionFileError."""
    if bool(options.sessions) == bool(options.sim):
        raise UsageError("an emulator needs sessions or sim's markets, one of the two")
    if options.sessions and options.venue == "deribit":
        from ._deribit_played import played_tape

        return played_tape(options.sessions, options.past_s or 0)
    if options.sessions and options.venue == "ib.tws":
        from ._tws_recorded import recorded_tape

        return recorded_tape(options.sessions, past_s=options.past_s or 0)
    if options.sessions:
        return tape_of_sessions(options.sessions, past_s=options.past_s or 0)
    past_s = _PAST_S if options.past_s is None else options.past_s
    faults = map(parse_fault, options.faults)
    skew_ms = sum(fault.ms for fault in faults if isinstance(fault, Skew))
    if options.venue == "ib.tws":
        from ._tws_tape import TwsTape

        is_always = options.hours == "always"
        return TwsTape(
            options.sim, past_s, skew_ms, options.history_s, is_always=is_always
        )
    return LiveTape(options.sim, past_s, skew_ms, options.history_s)


def open_venue(core: Core, options: Options) -> Venue:
    """Return the venue that *options* name."""
    from ._binance import Binance
    from ._deribit import Deribit
    from ._kraken import Kraken

    more: dict[str, Any] = {"made_up": options.made_up, "budget": options.budget}
    match options.venue:
        case "binance.spot":
            return Binance(core, "spot", ping_s=options.ping_s, **more)
        case "binance.usdtm":
            return Binance(core, "usdtm", ping_s=options.ping_s, **more)
        case "kraken.spot":
            return Kraken(core, **more)
        case "deribit":
            return Deribit(core, ping_s=options.ping_s, **more)
        case "ib.tws":
            from ._tws import Tws

            return Tws(core, is_always=options.hours == "always", **more)
    raise UsageError(f"no emulator of {options.venue!r}")


def open_server(options: Options) -> Server:
    """Return what serves what *options* ask for; UsageError, SessionFileError."""
    core = Core(open_tape(options), options.speed)
    venue = open_venue(core, options)
    return Server(core, venue, Player(core, venue, options.streams))


async def serve(options: Options) -> int:
    """Serve until told to end; return the exit code."""
    parent = os.getppid()  # before anybody hears of us: it may be gone right after
    faults = [parse_fault(text) for text in options.faults]
    server = open_server(options)
    try:
        sock = server.listen(options.port)
    except OSError as error:
        raise UsageError(f"can't listen at port {options.port}: {error}") from error
    code = 0

    def end(with_code: int) -> None:
        nonlocal code
        code = with_code
        tasks.cancel_scope.cancel()

    async with trio.open_nursery() as tasks:
        await tasks.start(_watch_signals, end)
        tasks.start_soon(_watch_parent, parent, end)
        tasks.start_soon(_watch_stdin, end)
        tasks.start_soon(server.run, sock)
        for fault in faults:
            await server.set_fault(fault)
        sys.stdout.write(msgspec.json.encode({"port": server.port}).decode() + "\n")
        sys.stdout.flush()
    return code


async def _watch_signals(
    end: Callable[[int], None],
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            end(128 + number)


async def _watch_parent(parent: int, end: Callable[[int], None]) -> None:
    """End when *parent*, the process that started this one, is gone."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the kernel tells nobody
        await trio.sleep(_PARENT_S)
    end(0)


async def _watch_stdin(end: Callable[[int], None]) -> None:
    """End when what feeds stdin, if that is a pipe, is closed."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        return
    while True:
        await trio.lowlevel.wait_readable(0)
        if not os.read(0, 4096):
            end(0)
            return
