"""Full market names: ``pair[.venue[.expiry[.info...]]].broker``, lower case, dotted."""

from __future__ import annotations

from piker.errors import BadFqme
from piker.types import Struct


class Fqme(Struct, kw_only=True):
    """A full market name, taken apart; ``str()`` puts it together again."""

    pair: str
    broker: str
    venue: str = ""
    expiry: str = ""
    info: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Fqme:
        """Take *text* apart; raises BadFqme."""
        raise BadFqme(text)

    @property
    def bs_fqme(self) -> str:
        """The name without its broker."""
        return ".".join(p for p in (self.pair, self.venue, self.expiry, *self.info) if p)

    def __str__(self) -> str:
        return f"{self.bs_fqme}.{self.broker}"
