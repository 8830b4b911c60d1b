"""``piker record``: what venues say of markets, into files that ``sim`` plays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piker.errors import UsageError

from ._run import options_of, run_async, say

if TYPE_CHECKING:
    from piker.service import Addr

    from ._recorded import Telling

REPORT_S = 1.0


def record(
    ctx: typer.Context,
    fqmes: Annotated[
        list[str] | None,
        typer.Argument(metavar="FQME...", help="E.g. btcusdt.spot.binance."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to; one a venue."),
    ] = None,
    info: Annotated[
        Path | None,
        typer.Option("--info", metavar="FILE", help="Say what a recording holds."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0.1, help="End after so long.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=1, help="End after so many frames."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, a line each.")] = False,
) -> None:
    """Record markets' raw frames until Ctrl-C, for sim to play.

    A recorder that is killed leaves a file that is whole up to its last second.
    """
    from ._recorded import Telling, show_info

    if info is not None:
        if fqmes or out is not None:
            raise UsageError("--info says what a file holds and records nothing")
        show_info(info, as_json=as_json)
        return
    if not fqmes or out is None:
        raise UsageError("name the markets, and a file with --out FILE; or --info FILE")
    wanted = Wanted(fqmes, out, seconds, count)
    telling = Telling(as_json=as_json)
    try:
        run_async(options_of(ctx), _record, wanted, telling)
    finally:
        telling.end()


@dataclass(frozen=True)
class Wanted:
    """What is to be recorded.

    Attributes:
      fqmes: the markets.
      out: the file.
      seconds: None for no end.
      count: of frames, None for no end.
    """

    fqmes: list[str]
    out: Path
    seconds: float | None
    count: int | None


async def _record(addr: Addr, wanted: Wanted, telling: Telling) -> None:
    import trio

    from piker.data.recording import check_recording, open_recording
    from piker.service import maybe_open_pikerd

    check_recording(wanted.fqmes, wanted.out)
    async with (
        maybe_open_pikerd("record", addr, on_start=say),
        open_recording(
            wanted.fqmes,
            wanted.out,
            limit=wanted.count,
            on_event=telling.event,
        ) as recording,
    ):
        telling.begin(recording)
        limit_s = float("inf") if wanted.seconds is None else wanted.seconds
        with trio.move_on_after(limit_s):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(_report, telling)
                await recording.full.wait()
                tasks.cancel_scope.cancel()


async def _report(telling: Telling) -> None:
    import trio

    while True:
        await trio.sleep(REPORT_S)
        telling.report()
