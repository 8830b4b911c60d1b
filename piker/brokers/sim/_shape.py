"""What makes one synthetic market differ from another: plain values, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final

import numpy as np

from piker.msgs import Calendar, MktPair
from piker.tsp import Floats

#: Length of the block whose bar is drawn first; all trading hours are whole blocks.
BLOCK_S: Final = 60
DAY_BLOCKS: Final = 86_400 // BLOCK_S
#: The most trades of one block; below the 2,048 ids a block has.
MAX_TRADES: Final = 1_500
FOREVER_S: Final = 2**33 // BLOCK_S * BLOCK_S  # the year 2242; ns stamps end in 2262
ALWAYS_OPEN: Final = Calendar()

_NIGHT = 0.35  # volatility while closed, beside 1 in the session


@dataclass(frozen=True)
class Path:
    """Where a price goes. Markets of one path (spot and perpetual) move together.

    Attributes:
      name: of the path; with the seed it fixes every price.
      price_quote: the level it hovers around.
      day_vol: deviation of a day's log return.
      level_vol: deviation of the log level over years.
      calendar: the hours in which most of the movement happens.
    """

    name: str
    price_quote: float = 100.0
    day_vol: float = 0.02
    level_vol: float = 0.30
    calendar: Calendar = ALWAYS_OPEN


@dataclass(frozen=True)
class Activity:
    """How much is traded.

    Attributes:
      rate: trades a second, mean over open hours, at most 8.
      mean_lots: size of a trade in size ticks, at least 1.
      silent: share of minutes without any trade, 0..1.
    """

    rate: float = 2.0
    mean_lots: float = 12.0
    silent: float = 0.0


@dataclass(frozen=True)
class OptionTerms:
    """What an option pays, besides the path of what it is written on.

    Attributes:
      strike_quote: strike price.
      is_call: a call, not a put.
    """

    strike_quote: float
    is_call: bool


@dataclass(frozen=True)
class SimMarket:
    """A synthetic market.

    Attributes:
      mkt: name and steps, as the rest of piker sees them.
      path: where its price goes; an option's path is that of its underlying.
      activity: how much is traded.
      calendar: when it trades, in whole minutes.
      option: set if the price is an option's.
      listed_s: epoch second of its first minute.
      expires_s: epoch second of its end, exclusive.
      description: a few words.
    """

    mkt: MktPair
    path: Path
    activity: Activity = field(default_factory=Activity)
    calendar: Calendar = ALWAYS_OPEN
    option: OptionTerms | None = None
    listed_s: int = 0
    expires_s: int = FOREVER_S
    description: str = ""

    def __post_init__(self) -> None:
        edges = [edge for span in self.calendar.weekly for edge in span]
        if any(edge % BLOCK_S for edge in (*edges, self.listed_s, self.expires_s)):
            raise ValueError(f"{self.mkt.fqme}: hours must be whole minutes")
        if not 0 <= self.listed_s < self.expires_s <= FOREVER_S:
            raise ValueError(f"{self.mkt.fqme}: must end after it is listed")

    @property
    def fqme(self) -> str:
        """The full name."""
        return self.mkt.fqme

    @property
    def price_tick(self) -> Decimal:
        """Step of prices."""
        return self.mkt.price_tick

    @property
    def size_tick(self) -> Decimal:
        """Step of sizes, one lot."""
        return self.mkt.size_tick


@dataclass(frozen=True, eq=False)
class DayProfile:
    """How a day goes, by minute of the day (UTC), each of shape (1440,).

    Attributes:
      trades: factor of the trade rate, mean 1 over the session.
      vol: factor of the volatility.
    """

    trades: Floats
    vol: Floats


@lru_cache(maxsize=64)
def day_profile(calendar: Calendar) -> DayProfile:
    """Return the U of a session, busy at both ends; of the whole day if always open."""
    first, last = calendar.weekly[0] if calendar.weekly else (0, 86_400)
    length = min((last - first) // BLOCK_S, DAY_BLOCKS)
    at = (np.arange(DAY_BLOCKS) - first // BLOCK_S) % DAY_BLOCKS
    inside = at < length
    off_centre = (at + 0.5) / length * 2 - 1
    square = off_centre * off_centre
    fourth = square * square
    trades = 0.55 + 1.35 * square * (0.4 + 0.6 * square) + 0.25 * fourth * fourth
    mean = math.fsum(trades[inside].tolist()) / length  # exact: the same anywhere
    trades = np.where(inside, trades / mean, 1.0)
    return DayProfile(trades, np.where(inside, np.sqrt(trades), _NIGHT))
