"""What a broker lists: fetched once a day, kept on disk, looked up by any of its names.

    fetch() of the backend --at most one at a time--> SymbolCache --> file in the cache
                                                        |  `-- .search(): ranked matches
                                                        `----- .find(): name -> Listed

An old list serves while a new one is fetched, and for as long as the venue can't be
reached. A name that isn't listed has the list fetched again, for the market may be new,
but not more often than every `retry_s`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from piker.errors import BadPayload, PikerError, SymbolNotFound
from piker.log import get_logger
from piker.msgs import Fqme, Match

from ._rank import SymbolIndex
from ._symbol_file import (
    VERSION,
    Listed as Listed,
    SymbolFile,
    read_symbols,
    write_symbols,
)
from ._symbol_table import SymbolTable

log = get_logger(__name__)


@dataclass(eq=False)
class _Fetch:
    """A fetch under way, and how it ended."""

    done: trio.Event = field(default_factory=trio.Event)
    error: Exception | None = None


class SymbolCache:
    """The markets of one broker at one place; the backend holds it."""

    def __init__(
        self,
        broker: str,
        fetch: Callable[[], Awaitable[list[Listed]]],
        *,
        key: str = "",
        max_age_s: float = 86_400.0,
        retry_s: float = 60.0,
    ) -> None:
        """Prepare; nothing is read or asked for yet.

        Args:
          broker: name of the backend.
          fetch: asks the venue for all it lists. It goes on if who asked is cancelled,
            so it must have a deadline of its own.
          key: tells lists of one broker apart, e.g. the venue's base URL.
          max_age_s: an older list is fetched again, and serves meanwhile.
          retry_s: least time between fetches that an older list could do without.
        """
        self._broker = broker
        self._fetch = fetch
        self._key = key
        self._max_age_s = max_age_s
        self._retry_s = retry_s
        self._table: SymbolTable | None = None
        self._running: _Fetch | None = None
        self._tried_s = float("-inf")  # by the monotonic clock
        self._complained = False

    async def find(self, name: str) -> Listed:
        """Return the market called *name*: its full name, an alias, or a short form.

        Of the markets a short form fits the spot market is taken, else the perpetual,
        else the only one.

        Raises:
          BadFqme: *name* can't be a market's name.
          SymbolNotFound: there is none, or several; the text names up to three.
          VenueError: nothing is known yet, and the venue doesn't tell.
        """
        fqme = Fqme.parse(name)
        if fqme.broker != self._broker:
            raise SymbolNotFound(
                f"no market {name!r} at {self._broker}: its names end in"
                f" .{self._broker}"
            )
        table = await self._current()
        found = table.find(fqme)
        if found is None and table.age_s() > self._retry_s:
            table = await self._renewed(table)
            found = table.find(fqme)
        return found or await self._refuse(name, fqme, table)

    async def search(self, pattern: str, limit: int, kind: str = "") -> list[Match]:
        """Return the markets that fit *pattern*, see :meth:`SymbolIndex.search`.

        Raises VenueError if nothing is known yet and the venue doesn't tell.
        """
        index = await self._current_index(await self._current())
        return index.search(pattern, limit, kind)

    async def listed(self) -> list[Listed]:
        """Return all markets; raises VenueError as :meth:`search` does."""
        return list((await self._current()).by_name.values())

    # -- the list ---------------------------------------------------------------------

    async def _current(self) -> SymbolTable:
        if self._table is None and self._running is None:
            self._adopt(await trio.to_thread.run_sync(self._read))
        if self._table is None:
            await self._wait(self._start())
            assert self._table is not None
        elif self._table.age_s() > self._max_age_s and self._may_try():
            self._start()
        return self._table

    async def _renewed(self, table: SymbolTable) -> SymbolTable:
        """Return what a fetch brings, *table* if it fails or one was tried just now."""
        if self._running is None and not self._may_try():
            return table
        try:
            await self._wait(self._start())
        except PikerError:
            return table  # it was logged
        return self._table or table

    def _may_try(self) -> bool:
        return time.monotonic() - self._tried_s > self._retry_s

    def _start(self) -> _Fetch:
        """Return the fetch under way, started now if there is none."""
        if self._running is None:
            self._running = _Fetch()
            self._tried_s = time.monotonic()
            # of nobody's nursery: who asks first may leave before it is done
            trio.lowlevel.spawn_system_task(self._run, self._running)
        return self._running

    async def _wait(self, fetch: _Fetch) -> None:
        await fetch.done.wait()
        if isinstance(fetch.error, PikerError):
            raise type(fetch.error)(str(fetch.error))  # each who waits gets its own
        if fetch.error is not None:
            raise fetch.error

    async def _run(self, fetch: _Fetch) -> None:
        try:
            self._adopt(await trio.to_thread.run_sync(self._keep, await self._ask()))
            self._complained = False
        except PikerError as err:
            fetch.error = err
            self._complain(err)
        except Exception as err:  # a system task that raises ends the run
            fetch.error = err
            log.exception(
                "symbols of %s: a fault while they were fetched", self._broker
            )
        finally:
            self._running = None
            fetch.done.set()

    async def _ask(self) -> list[Listed]:
        listed = await self._fetch()
        if not listed:
            raise BadPayload(f"{self._broker} lists no markets at all")
        return listed

    def _adopt(self, table: SymbolTable | None) -> None:
        if table is not None:
            self._table = table

    def _complain(self, err: PikerError) -> None:
        """Log, once an outage, that an old list serves."""
        if self._table is not None and not self._complained:
            self._complained = True
            hours = self._table.age_s() / 3600
            log.warning(
                "symbols of %s are %.1f h old and stay in use: %s",
                self._broker, hours, err,
            )  # fmt: skip

    def _read(self) -> SymbolTable | None:
        file = read_symbols(self._broker, self._key)
        return SymbolTable(file.listed, file.fetched_s) if file else None

    def _keep(self, listed: list[Listed]) -> SymbolTable:
        table = SymbolTable(listed, time.time())
        file = SymbolFile(
            version=VERSION,
            broker=self._broker,
            key=self._key,
            fetched_s=table.fetched_s,
            listed=listed,
        )
        write_symbols(file)
        return table

    # -- names ------------------------------------------------------------------------

    async def _current_index(self, table: SymbolTable) -> SymbolIndex:
        if table.index is None:
            table.index = await trio.to_thread.run_sync(table.make_index)
        return table.index

    async def _refuse(self, name: str, fqme: Fqme, table: SymbolTable) -> Listed:
        """Raise SymbolNotFound with the names that come closest."""
        several = [one.mkt.fqme for one in table.fitting(fqme)][:3]
        if several:
            raise SymbolNotFound(
                f"{name!r} may be several markets at {self._broker}: write one of "
                + ", ".join(several)
            )
        index = await self._current_index(table)
        close = index.search(name.removesuffix(f".{self._broker}"), 3)
        close = close or index.search(fqme.pair, 3)
        names = ", ".join(match.fqme for match in close)
        raise SymbolNotFound(
            f"no market {name!r} at {self._broker}: "
            + (f"close to it: {names}" if names else "no name comes close")
        )
