"""Markets of an account, by our names of them and by the venue's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from piker.errors import SymbolNotFound
from piker.log import get_logger
from piker.msgs import MktPair

from ._sync import Looker

log = get_logger(__name__)

GetMkt = Callable[[str], Awaitable[MktPair]]


class Markets:
    """Markets that were found, each looked for once.

    Attributes:
      known: by full name.
    """

    def __init__(self, get_mkt: GetMkt, looker: Looker) -> None:
        """Find a market by its full name with *get_mkt*."""
        self.known: dict[str, MktPair] = {}
        self._get_mkt, self._looker = get_mkt, looker
        self._gone: set[str] = set()

    async def get(self, fqme: str) -> MktPair:
        """Return a market by its full name; raises as *get_mkt*."""
        if fqme not in self.known:
            self.known[fqme] = await self._get_mkt(fqme)
        return self.known[fqme]

    async def find(self, fqme: str) -> MktPair | None:
        """Return a market; None of one that the venue has no more. Asks till told."""
        try:
            return await self._looker.look(partial(self.get, fqme))
        except SymbolNotFound as err:
            self._say_gone(fqme, err)
            return None

    async def learn(self, bs_mktid: str) -> MktPair | None:
        """Return a market by the venue's name of it; None if it isn't listed.

        Asks for as long as it takes.
        """
        found = (each for each in self.known.values() if each.bs_mktid == bs_mktid)
        mkt = next(found, None)
        if mkt is None:
            mkt_of = self._looker.session.mkt_of
            try:
                mkt = await self._looker.look(partial(mkt_of, bs_mktid))
            except SymbolNotFound as err:
                self._say_gone(bs_mktid, err)
                return None
            self.known[mkt.fqme] = mkt
        return mkt

    async def listed(self, fqmes: Iterable[str]) -> list[MktPair]:
        """Return those of some markets that are listed still.

        Raises: as *get_mkt*, but for those that aren't.
        """
        mkts = []
        for fqme in tuple(fqmes):  # a fill may come meanwhile, of another one
            try:
                mkts.append(await self.get(fqme))
            except SymbolNotFound as err:
                self._say_gone(fqme, err)
        return mkts

    def _say_gone(self, name: str, err: SymbolNotFound) -> None:
        """Say once that a market isn't listed; what is of it can't be looked after."""
        if name not in self._gone:
            self._gone.add(name)
            account = self._looker.session.account
            log.error("%s: %s isn't looked after: %s", account, name, err)
