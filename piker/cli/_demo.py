"""A tree of its own for a look around: made, shown, and removed without a trace.

temporary folders > pikerd (this process) > datad.sim, samplerd > a feed
                                          > emsd > paperboi.sim > two orders
"""

from __future__ import annotations

import json
import math
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psutil
import trio

from piker import config
from piker.brokers.sim import DEMO_FQME
from piker.cli import STARTED_S
from piker.data import NO_MORE_DATA, Feed, open_feed
from piker.errors import DeadlineExceeded, ServiceError, UsageError
from piker.log import setup_logging
from piker.msgs import Ended, FeedMsg, Quote, ServiceInfo
from piker.service import (
    Addr,
    current_pikerd,
    has_services,
    open_pikerd,
    shm_dir,
)
from piker.types import Struct

from ._demo_orders import Desk, trade
from ._run import say

FIRST_QUOTE_DEADLINE_S = 30.0
#: On a machine that is busy the orders may take longer than the demo was to.
ORDERS_DEADLINE_S = 30.0
_ORDERS = "brokerd"


class Report(Struct, frozen=True, kw_only=True):
    """How a demo went.

    Attributes:
      ok: quotes came, bars were made, paper orders were taken and filled (of a
        recorded session, which may end first: or not), no order daemon ran, and
        nothing is left.
      actors: of the tree, pikerd first.
      brokerd_processes: order daemons there were; a demo needs none.
      time_to_first_quote_s: since the program began to run; the set-up that `./run`
        may have done before is not in it.
      quotes: received.
      bars: 1 s bars begun while it ran.
      fqme: the market.
      orders: paper orders taken, of two: one at the market, a dark one to sell half.
      fills: parts of them that were executed.
      position: held on paper at the end, base units.
    """

    ok: bool
    actors: tuple[str, ...]
    brokerd_processes: int
    time_to_first_quote_s: float
    quotes: int
    bars: int
    fqme: str
    orders: int = 0
    fills: int = 0
    position: Decimal = Decimal(0)


@dataclass
class Demo:
    """A running demo, as its screen sees it.

    Attributes:
      addr: of its tree's registry.
      feed: of its market.
      fqme: the market's full name.
      first_quote_s: from the command to the first quote, seconds.
      quotes: received so far.
      begun: set with the first quote.
      listeners: called with each message of the feed.
      last: price, quote units.
      desk: what it has traded.
    """

    addr: Addr
    feed: Feed
    fqme: str
    last: float = math.nan
    desk: Desk = field(default_factory=Desk)
    first_quote_s: float = 0.0
    quotes: int = 0
    begun: trio.Event = field(default_factory=trio.Event)
    listeners: list[Callable[[FeedMsg], None]] = field(default_factory=list)

    async def infos(self) -> list[ServiceInfo]:
        """Return pikerd and its services."""
        return await current_pikerd().infos()


Screen = Callable[[Demo], Awaitable[None]]


@contextmanager
def private_folders(session: Path | None, speed: float) -> Iterator[Path]:
    """Use temporary folders for everything; yield the one above them.

    Args:
      session: a recorded session that the sim is to play.
      speed: of it, market seconds a second; 0 is full speed.

    Raises UsageError if there is no such file.
    """
    if session is not None and not session.is_file():
        raise UsageError(f"no session file {str(session)!r}")
    with tempfile.TemporaryDirectory(prefix="piker-demo-") as name:
        folder = Path(name)
        dirs = config.Dirs.under(folder)
        with config.use_dirs(dirs):
            Path(dirs.config).mkdir(mode=0o700)
            text = "[clearing]\nnotify = []\n"  # its dark order is no news to anybody
            if session is not None:
                path = json.dumps(str(session.absolute()))
                text += f"[sim]\nspeed = {speed!r}\nsessions = [{path}]\n"
            (Path(dirs.config) / config.CONF_NAME).write_text(text)
            yield folder


def free_addr() -> Addr:
    """Return an address of this machine that nobody listens at."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return ("127.0.0.1", int(sock.getsockname()[1]))


def demo_fqme(session: Path | None) -> str:
    """Return the market to show; SessionFileError if *session* can't be played."""
    if session is None:
        return DEMO_FQME
    from piker.brokers.sim._sessions import open_session

    return open_session(session).fqmes[0]


async def run_demo(
    fqme: str, seconds: float | None, screen: Screen, *, verbose: bool
) -> Report:
    """Run a tree of its own until its market ends, or for *seconds* of quotes.

    Args:
      fqme: the market to show.
      seconds: None for until it is cancelled.
      screen: shows it, in a task of its own.
      verbose: log to stderr.

    Raises:
      DeadlineExceeded: no quote came.
      ServiceError: the tree was told to end, by :func:`end_tree` or by command.
      PikerError: the tree could not be started.
    """
    addr = free_addr()
    log_file = config.make_private(config.state_dir() / "log") / "pikerd.log"
    setup_logging("pikerd", "info", console=verbose, file=log_file)
    actors: tuple[str, ...] = ()
    async with open_pikerd(addr), open_feed([fqme]) as feed:
        demo = Demo(addr, feed, next(iter(feed.flumes)))
        before = _bars_begun(demo)
        shm = shm_dir()
        async with trio.open_nursery() as tasks:
            tasks.start_soon(screen, demo)
            tasks.start_soon(_trade, demo)
            await _take_quotes(demo, seconds)
            tasks.cancel_scope.cancel()
        actors = tuple(info.name for info in await demo.infos())
        orders = _order_daemons()
        bars = _bars_begun(demo) - before
    if not actors:
        raise ServiceError("the private tree was told to end")
    left = bool(psutil.Process().children(recursive=True)) or shm.exists()
    desk = demo.desk
    traded = bool(len(desk.orders) > 1 and desk.fills) or fqme != DEMO_FQME
    return Report(
        ok=demo.quotes > 0 and bars > 0 and traded and not orders and not left,
        actors=actors,
        brokerd_processes=orders,
        time_to_first_quote_s=round(demo.first_quote_s, 3),
        quotes=demo.quotes,
        bars=bars,
        fqme=demo.fqme,
        orders=len(desk.orders),
        fills=desk.fills,
        position=desk.position,
    )


def end_tree(why: str) -> bool:
    """Begin the end of this process's tree from within; False if it isn't up yet.

    A cancel from outside would end the runtime before it has told its daemons.
    """
    if not has_services():
        return False
    current_pikerd().end(why)
    return True


async def _trade(demo: Demo) -> None:
    """Trade once the market quotes, and not before: the first quote is not to wait."""
    await demo.begun.wait()
    await trade(demo.desk, demo.feed.flumes[demo.fqme].mkt, demo.last)


async def _take_quotes(demo: Demo, seconds: float | None) -> None:
    """Hand the feed's messages to the screen until it is time to end."""
    async with trio.open_nursery() as tasks:
        scope = tasks.cancel_scope
        scope.deadline = trio.current_time() + FIRST_QUOTE_DEADLINE_S
        tasks.start_soon(_end_in_time, demo, seconds, scope)
        async for item in demo.feed.messages:
            if isinstance(item, Quote):
                _note_quote(demo, item)
            for listener in demo.listeners:
                listener(item)
            if isinstance(item, Ended):
                if not demo.quotes or item.reason != NO_MORE_DATA:
                    say(f"{demo.fqme} ended: {item.reason}")
                scope.cancel()
                return
    if not demo.quotes:
        raise DeadlineExceeded(
            f"no quote of {demo.fqme!r} in {FIRST_QUOTE_DEADLINE_S:g} s; -v shows logs"
        )


def _note_quote(demo: Demo, quote: Quote) -> None:
    if not math.isnan(quote.last):
        demo.last = quote.last
    demo.quotes += 1
    if not demo.begun.is_set() and not math.isnan(demo.last):
        demo.first_quote_s = time.monotonic() - STARTED_S
        demo.begun.set()


async def _end_in_time(
    demo: Demo, seconds: float | None, scope: trio.CancelScope
) -> None:
    """Cancel *scope* after *seconds* of quotes, and once the orders were placed."""
    await demo.begun.wait()
    scope.deadline = float("inf")
    if seconds is None:
        return
    await trio.sleep(seconds)
    with trio.move_on_after(ORDERS_DEADLINE_S):
        await demo.desk.settled.wait()
    scope.cancel()


def _bars_begun(demo: Demo) -> int:
    return demo.feed.flumes[demo.fqme].rt_shm.bounds()[1]


def _order_daemons() -> int:
    """Count the processes of this tree that are an order daemon."""
    found = psutil.Process().children(recursive=True)
    return sum(any(_ORDERS in word for word in each.cmdline()) for each in found)
