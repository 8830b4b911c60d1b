"""The best bid and ask of a market, as far as they are known and may be used."""

from __future__ import annotations

import msgspec


class Best(msgspec.Struct):
    """One side.

    Attributes:
      is_told: whether anything was said of it since the feed was there.
      is_new: whether what was said hasn't counted yet.
      price: in ticks, None if there is none.
      lots: displayed.
      taken: of them by our own takers, by distance from the touch in slippage steps;
        they are gone until the price changes.
    """

    is_told: bool = False
    is_new: bool = False
    price: int | None = None
    lots: int = 0
    taken: list[int] = msgspec.field(default_factory=list)

    def tell(self, price: int | None, lots: int) -> None:
        """Take a new quote of this side."""
        if price != self.price:
            self.taken = []
        self.is_told = self.is_new = True
        self.price, self.lots = price, lots
        # what was displayed and is gone can't have been what we took: that's forgotten
        self.taken = [min(taken, lots) for taken in self.taken]

    def free(self, step: int) -> int:
        """Return the lots there are to take, so many steps behind the touch."""
        taken = self.taken[step] if step < len(self.taken) else 0
        return self.lots - taken

    def take(self, step: int, lots: int) -> None:
        """Remember what was taken there."""
        self.taken += [0] * (step + 1 - len(self.taken))
        self.taken[step] += lots


class Touch(msgspec.Struct):
    """Both sides, and how the feed is.

    Attributes:
      bid, ask: best there is.
      heard_ns: when the market last said anything, 0 for never.
      is_down: whether the feed is disconnected.
    """

    bid: Best = msgspec.field(default_factory=Best)
    ask: Best = msgspec.field(default_factory=Best)
    heard_ns: int = 0
    is_down: bool = False

    def same(self, side: int) -> Best:
        """Return the side where orders of *side*, 1 to buy and -1 to sell, rest."""
        return self.bid if side == 1 else self.ask

    def opposite(self, side: int) -> Best:
        """Return the side that orders of *side* take from."""
        return self.ask if side == 1 else self.bid

    def lost(self) -> None:
        """Forget what was quoted: the feed is disconnected."""
        self.is_down, self.bid, self.ask = True, Best(), Best()

    @property
    def is_crossed(self) -> bool:
        """Whether the best bid isn't below the best ask: one of them is no more."""
        bid, ask = self.bid.price, self.ask.price
        return bid is not None and ask is not None and bid >= ask

    def unfit(self, now_ns: int, max_age_ns: int) -> str:
        """Return why nothing may be filled now, empty if it may."""
        if self.is_down:
            return "the feed is disconnected"
        if not (self.bid.is_told and self.ask.is_told):
            return "there is no quote yet"
        if self.is_crossed:
            return "the quote is crossed"
        if now_ns - self.heard_ns > max_age_ns:
            return f"the feed was silent for over {max_age_ns / 1e9:g} s"
        return ""
