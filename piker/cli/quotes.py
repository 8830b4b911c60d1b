"""``piker quotes``: markets, live."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._run import Options, options_of, run_async, say

if TYPE_CHECKING:
    from piker.data import Feed
    from piker.msgs import FeedMsg
    from piker.service import Addr

REFRESH_S = 0.2


def quotes(
    ctx: typer.Context,
    fqmes: Annotated[
        list[str], typer.Argument(metavar="FQME...", help="E.g. btcusdt.spot.sim.")
    ],
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many.")
    ] = None,
    hz: Annotated[
        float | None,
        typer.Option("--hz", min=0.01, max=1000, help="Quotes a second, at most."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait for a venue that is away.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line for each quote and event.")
    ] = False,
) -> None:
    """Watch markets until Ctrl-C; a pikerd is started if none runs."""
    options, wanted = options_of(ctx), Wanted(fqmes, hz, count, wait)
    if as_json:
        run_async(options, _stream, wanted, _put_json)
    else:
        _show(options, wanted)


@dataclass(frozen=True)
class Wanted:
    """What is to be watched.

    Attributes:
      fqmes: the markets.
      hz: quotes a second, None for all.
      count: of quotes, None for no end.
      wait: for venues that can't be reached yet.
    """

    fqmes: list[str]
    hz: float | None
    count: int | None
    wait: bool


async def _stream(
    addr: Addr,
    wanted: Wanted,
    put: Callable[[FeedMsg], None],
    around: Callable[..., Awaitable[None]] | None = None,
) -> None:
    """Put what a feed says until enough quotes came or all its markets ended.

    Args:
      addr: of the registry.
      wanted: markets, and how much of them.
      put: takes each message.
      around: a task that runs meanwhile.
    """
    import trio

    from piker.brokers import check_broker
    from piker.data import open_feed
    from piker.msgs import Fqme
    from piker.service import maybe_open_pikerd

    for fqme in wanted.fqmes:  # a wrong name starts nothing
        check_broker(Fqme.parse(fqme).broker)
    async with (
        maybe_open_pikerd("quotes", addr, on_start=say),
        open_feed(
            wanted.fqmes,
            tick_throttle=wanted.hz,
            on_wait=_say_waiting if wanted.wait else None,
        ) as feed,
        trio.open_nursery() as tasks,
    ):
        for told in closed(feed, int(time.time())):
            say(told)
        if around is not None:
            await tasks.start(around, feed)
        await put_messages(feed, wanted.count, put)
        tasks.cancel_scope.cancel()


def _say_waiting(why: str) -> None:
    say(f"waiting: {why}")


def closed(feed: Feed, now_s: int) -> Iterator[str]:
    """Yield a sentence for each market closed at *now_s*: no quote will come of it."""
    from piker.msgs import SessionClock

    for fqme, flume in feed.flumes.items():
        opens_s = flume.calendar.next_open(now_s)
        if not isinstance(flume.clock, SessionClock) and opens_s != now_s:
            at = datetime.fromtimestamp(opens_s, UTC)
            yield f"{fqme} is closed; it opens on {at:%Y-%m-%d at %H:%M} UTC"


async def put_messages(
    feed: Feed, count: int | None, put: Callable[[FeedMsg], None]
) -> None:
    """Put a feed's messages until *count* quotes came or all its markets ended.

    How far the past is loaded is left out: `piker services` tells it.
    """
    from piker.msgs import Ended, HistoryProgress, Quote

    taken, going = 0, set(feed.flumes)
    async for item in feed.messages:
        if isinstance(item, HistoryProgress):
            continue
        put(item)
        if isinstance(item, Quote):
            taken += 1
            if taken == count:
                return
        elif isinstance(item, Ended):
            going -= set(item.fqmes)
            if not going:
                say(f"no more data: {item.reason}")
                return


def _put_json(item: FeedMsg) -> None:
    from ._show import bare_fields, put_json

    line = {"type": item.__struct_config__.tag, **bare_fields(item)}
    if "ticks" in line:
        line["ticks"] = [bare_fields(tick) for tick in line["ticks"]]
    put_json(line)


def _show(options: Options, wanted: Wanted) -> None:
    """Show a table that changes in place."""
    from rich.live import Live

    from ._show import open_console

    console = open_console()
    boards: list[Any] = []
    with Live(console=console, auto_refresh=False) as live:

        async def redraw(feed: Feed, task_status: Any) -> None:
            import trio

            from ._board import Board

            boards.append(Board(feed))
            task_status.started()
            while True:
                live.update(boards[0].view(console.width), refresh=True)
                await trio.sleep(REFRESH_S)

        def put(item: FeedMsg) -> None:
            boards[0].take(item)

        run_async(options, _stream, wanted, put, redraw)
