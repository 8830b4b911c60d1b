"""What this sim offers, as configured: synthetic markets and recorded sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import msgspec

from piker import config
from piker.errors import ConfigError, SessionFileError, SymbolNotFound
from piker.msgs import NS, Calendar, Clock, Fqme, MktPair, SessionClock, WallClock
from piker.service import publish_once

from ._sessions import Session, open_session
from ._synthetic import Synthetic
from ._universe import find_market

BLOCK_NS = 60 * NS
#: Of what makes the synthetic markets; with another one their past is another.
FORM = 1
_clock_decoder = msgspec.json.Decoder(SessionClock)


@dataclass(frozen=True)
class Replay:
    """A market of a recorded session."""

    mkt: MktPair
    session: Session


@dataclass(frozen=True)
class World:
    """A synthetic market in this sim's world."""

    mkt: MktPair
    calendar: Calendar
    synthetic: Synthetic
    expires_s: int


@lru_cache(maxsize=64)
def _session(path: str, venue: str, _mtime_ns: int) -> Session:
    return open_session(path, venue or None)


def sessions() -> tuple[list[Session], list[SessionFileError]]:
    """Return the configured sessions, and what is wrong with those that can't be.

    Of several recordings of one market the first is played.
    """
    good: list[Session] = []
    bad: list[SessionFileError] = []
    for told in config.load_config().sim.sessions:
        try:
            mtime_ns = Path(told.file).stat().st_mtime_ns
        except OSError:
            mtime_ns = 0  # open_session says what is wrong with it
        try:
            good.append(_session(told.file, told.venue, mtime_ns))
        except SessionFileError as err:
            bad.append(err)
    return good, bad


def find(text: str) -> Replay | World:
    """Return the market of that name; BadFqme, SymbolNotFound, SessionFileError."""
    fqme = Fqme.parse(text)
    if not fqme.info or fqme.strike:
        return _world(str(fqme), config.load_config().sim.seed)
    good, bad = sessions()
    for session in good:
        for mkt in session.mkts.values():
            if mkt.fqme == str(fqme):
                return Replay(mkt, session)
    if bad:
        raise bad[0]  # it may well be the one that has this market
    names = ", ".join(name for session in good for name in session.fqmes)
    raise SymbolNotFound(
        f"no recorded market {text!r} in sim; recorded: "
        + (names or "none, conf.toml's sim.sessions lists the files to offer")
    )


@lru_cache(maxsize=256)
def _world(text: str, seed: int) -> World:
    market = find_market(text)
    return World(market.mkt, market.calendar, Synthetic(market, seed), market.expires_s)


def edition() -> str:
    """Return which of its pasts the synthetic markets have: those of a seed."""
    return f"seed {config.load_config().sim.seed}, form {FORM}"


def _shared_clock(name: str, origin_ns: int, speed: float) -> SessionClock:
    """Return the one clock of a replay in this tree, started by who asks first."""
    clock = SessionClock(
        name=name, origin_ns=origin_ns, started_ns=time.monotonic_ns(), speed=speed
    )
    raw = publish_once(f"clock.{name}", msgspec.json.encode(clock))
    return _clock_decoder.decode(raw)


def replay_clock(replay: Replay) -> SessionClock:
    """Return the clock of a recorded session; all its markets share it."""
    session = replay.session
    name = f"{session.path.name}.{session.origin_ns}"
    return _shared_clock(name, session.origin_ns, config.load_config().sim.speed)


def world_clock() -> Clock:
    """Return the clock of the synthetic markets."""
    conf = config.load_config().sim
    if not conf.start:
        return WallClock()
    try:
        start = datetime.fromisoformat(conf.start)
    except ValueError:
        raise ConfigError(
            f"conf.toml: sim.start: expected an ISO 8601 time, got {conf.start!r}"
        ) from None
    if start.tzinfo is None:
        start = start.replace(tzinfo=UTC)
    return _shared_clock("sim", int(start.timestamp()) * NS, conf.speed)


def world_end_ns(clock: Clock) -> int:
    """Return when the synthetic markets' time ends, epoch ns; far away if never."""
    length_s = config.load_config().sim.length_s
    if isinstance(clock, SessionClock) and length_s:
        return clock.origin_ns + int(length_s * NS)
    return 1 << 62
