"""Drawing in charts from elsewhere: a script, ``piker store gaps --chart``.

    AnnotCtl --each command--> one line a chart --> its Annots

A chart that is closed is left out from then on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from piker import config
from piker.errors import ChartNotFound, PikerError, UsageError
from piker.log import get_logger
from piker.msgs import (
    AnnotCommand,
    AnnotDone,
    DrawRects,
    Rect,
    Redraw,
    RemoveRects,
)
from piker.service import (
    Addr,
    MsgStream,
    Portal,
    collapse_eg,
    current_actor,
    find_services,
    open_context,
    open_piker_runtime,
)

from . import _annot_rpc
from ._session import CHART

log = get_logger(__name__)

_DEADLINE_S: Final = 5.0

#: A place in a chart: time, s since the epoch, and price, None for the chart's edge.
Place = tuple[float, float | None]


class AnnotCtl:
    """Draws in all charts that were open when it was opened.

    Attributes:
      fqmes: names of the markets they looked at then.
    """

    def __init__(self) -> None:
        self.fqmes: tuple[str, ...] = ()
        self._streams: list[MsgStream[AnnotDone]] = []
        self._aids = 0
        self._lock = trio.Lock()
        self._all_closed = trio.Event()

    async def add_rect(
        self,
        fqme: str,
        start: Place,
        end: Place,
        *,
        color: str = "",
        text: str = "",
        period_s: int = 0,
    ) -> int:
        """Draw a rectangle between two places, in any order; return its number.

        Args:
          fqme: the market; drawn in charts that show it as their first.
          start: one corner.
          end: the other.
          color: ``#rrggbb`` or ``#aarrggbb``; the theme's by default.
          text: written in it.
          period_s: bar length of the charts it is drawn in; 0: of any.

        Raises:
          UsageError: it can't be drawn, e.g. for its colour.
          ChartNotFound: no chart is open any more.
        """
        begin_s, end_s = sorted((start[0], end[0]))
        lowest, highest = _in_order(start[1], end[1])
        rect = Rect(
            fqme=fqme.lower(), begin_s=begin_s, end_s=end_s, lowest=lowest,
            highest=highest, period_s=period_s, color=color, text=text,
        )  # fmt: skip
        (aid,) = await self.add_rects([rect])
        return aid

    async def add_rects(self, rects: list[Rect]) -> list[int]:
        """Draw rectangles, all or none of them; return their numbers.

        Raises as :meth:`add_rect` does.
        """
        for rect in rects:
            if rect.fault:
                raise UsageError(rect.fault)
        aids = list(range(self._aids + 1, self._aids + 1 + len(rects)))
        self._aids += len(rects)
        await self._do(DrawRects(rects=dict(zip(aids, rects, strict=True))))
        return aids

    @asynccontextmanager
    async def open_rect(
        self,
        fqme: str,
        start: Place,
        end: Place,
        *,
        color: str = "",
        text: str = "",
        period_s: int = 0,
    ) -> AsyncIterator[int]:
        """Draw a rectangle for as long as the block lasts; see :meth:`add_rect`."""
        aid = await self.add_rect(
            fqme, start, end, color=color, text=text, period_s=period_s
        )
        try:
            yield aid
        finally:
            with trio.move_on_after(_DEADLINE_S) as scope:
                scope.shield = True
                await self.remove(aid)

    async def remove(self, *aids: int) -> None:
        """Draw rectangles no more; a number that isn't there is none."""
        await self._do(RemoveRects(aids=list(aids)))

    async def redraw(self, fqme: str = "", period_s: int = 0) -> None:
        """Have charts read their bars anew, e.g. after they were mended."""
        await self._do(Redraw(fqme=fqme.lower(), period_s=period_s))

    async def _do(self, command: AnnotCommand) -> None:
        """Have each chart do it, one command after the other."""
        faults: dict[MsgStream[AnnotDone], str] = {}

        async def tell(stream: MsgStream[AnnotDone]) -> None:
            try:
                with trio.fail_after(_DEADLINE_S) as scope:
                    # an answer that nobody waited for would be taken for the next one's
                    scope.shield = True
                    await stream.send(command)
                    faults[stream] = (await stream.receive()).fault
            except (PikerError, trio.EndOfChannel, trio.TooSlowError) as err:
                log.info("a chart draws nothing any more: %r", err)
                self._drop(stream)

        async with self._lock, trio.open_nursery() as tasks:
            for stream in self._streams:
                tasks.start_soon(tell, stream)
        if not self._streams:
            raise ChartNotFound("all charts were closed; open one with `piker chart`")
        for fault in filter(None, faults.values()):
            raise UsageError(fault)

    async def until_closed(self) -> None:
        """Wait until no chart is open any more."""
        await self._all_closed.wait()

    def _drop(self, stream: MsgStream[AnnotDone]) -> None:
        if stream in self._streams:
            self._streams.remove(stream)
        if not self._streams:
            self._all_closed.set()

    async def _hold(self, portal: Portal, task_status: Any) -> None:
        """Hold the line to one chart; returns once that is gone."""
        told: list[str] | None = None
        try:
            async with (
                open_context(portal, _annot_rpc.remote_annotate) as (ctx, shown),
                ctx.open_stream() as stream,
            ):
                self._streams.append(stream)
                told = shown
                task_status.started(shown)
                try:
                    await trio.sleep_forever()
                finally:
                    self._drop(stream)
        except PikerError as err:
            log.info("a chart is left out: %s", err)
        if told is None:
            task_status.started([])


def _in_order(*prices: float | None) -> tuple[float | None, float | None]:
    """Return two prices, the lower first; one that isn't given stays where it is."""
    one, other = prices
    if one is not None and other is not None and other < one:
        return other, one
    return one, other


@asynccontextmanager
async def _open_in_tree(addr: Addr) -> AsyncIterator[None]:
    """Be in the tree, as its client if this process isn't in it already."""
    if current_actor() is not None:
        yield
        return
    async with open_piker_runtime("annotator", addr):
        yield


@asynccontextmanager
async def open_annot_ctl(addr: Addr | None = None) -> AsyncIterator[AnnotCtl]:
    """Yield what draws in the charts that are open; with the block its drawings end.

    Args:
      addr: of the registry; as configured by default.

    Raises:
      RegistryUnreachable: no pikerd runs, so no chart either.
      ChartNotFound: none is open.
    """
    addr = addr or config.registry_addr()
    ctl = AnnotCtl()
    shown: list[str] = []
    async with (
        _open_in_tree(addr),
        find_services(CHART, addr) as portals,
        collapse_eg(),
        trio.open_nursery() as tasks,
    ):
        for portal in portals:
            shown += await tasks.start(ctl._hold, portal)  # noqa: SLF001 - one module
        if not ctl._streams:  # noqa: SLF001
            raise ChartNotFound(
                f"no chart's window is open in the tree at {config.show_addr(addr)}; "
                "open one with `piker chart`"
            )
        ctl.fqmes = tuple(sorted(set(shown)))
        yield ctl
        tasks.cancel_scope.cancel()
