"""What a recorded stream of Binance gives away about itself: its market, its steps.

The frames do not say which of the venue's markets they are of, but each market has
fields of its own; nor do they say a market's steps, but the decimals show them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import msgspec

from piker.msgs import Asset, MktPair

Venue = Literal["spot", "usdtm"]

#: Currencies that symbols end in, as the venue writes them, longest first.
_QUOTES = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "DAI", "BTC", "ETH", "BNB", "EUR", "GBP",
    "TRY", "BRL", "JPY", "AUD", "USD",
)  # fmt: skip
#: Currencies that are money of a state.
FIAT = frozenset({"EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "USD"})


class _Frame(msgspec.Struct, frozen=True):
    stream: str
    data: dict[str, Any]


_FRAME = msgspec.json.Decoder(_Frame)


@dataclass
class Steps:
    """The most decimals seen, trailing zeros left out.

    Attributes:
      price: of any price.
      size: of any size.
    """

    price: int = 0
    size: int = 0


@dataclass
class Evidence:
    """What frames have shown so far.

    Attributes:
      votes: frames that only that venue sends.
      steps: decimals of each market, by symbol.
    """

    votes: dict[Venue, int] = field(default_factory=lambda: {"spot": 0, "usdtm": 0})
    steps: dict[str, Steps] = field(default_factory=dict)

    def add(self, payload: bytes) -> None:
        """Look at one frame; what is no frame of the venue shows nothing."""
        try:
            data = _FRAME.decode(payload).data
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        symbol = data.get("s")
        if not isinstance(symbol, str) or not symbol:
            return
        venue = _vote(data)
        if venue is None:
            return
        self.votes[venue] += 1
        steps = self.steps.setdefault(symbol, Steps())
        prices, sizes = _amounts(data)
        steps.price = max(steps.price, *map(_decimals, prices), 0)
        steps.size = max(steps.size, *map(_decimals, sizes), 0)

    @property
    def venue(self) -> Venue | None:
        """The venue that most frames are of, None if none tells."""
        spot, usdtm = self.votes["spot"], self.votes["usdtm"]
        if not spot and not usdtm:
            return None
        return "spot" if spot > usdtm else "usdtm"


def replay_market(symbol: str, venue: Venue, steps: Steps) -> MktPair:
    """Return the market that plays back recorded *symbol*, of broker ``sim``.

    Args:
      symbol: as the venue spells it, e.g. ``BTCUSDT`` or ``BTCUSDT_240927``.
      venue: where it was recorded.
      steps: decimals of its prices and sizes.

    Raises:
      BadFqme: if *symbol* makes no market name.
    """
    pair, _, delivery = symbol.partition("_")
    quote = next((q for q in _QUOTES if pair.endswith(q) and pair != q), "")
    base = pair.removesuffix(quote)
    size_tick = Decimal(1).scaleb(-steps.size)
    perpetual = venue == "usdtm" and not delivery
    return MktPair(
        dst=Asset(name=base.lower(), atype="crypto", tx_tick=size_tick),
        src=Asset(name=quote.lower(), atype="fiat" if quote in FIAT else "crypto")
        if quote
        else None,
        price_tick=Decimal(1).scaleb(-steps.price),
        size_tick=size_tick,
        bs_mktid=symbol,
        broker="sim",
        venue=venue,
        expiry="perp" if perpetual else delivery,
        contract_info=("binance",),
        atype=_atype(venue, delivery),
    )


def _atype(
    venue: Venue, delivery: str
) -> Literal["crypto", "perpetual_future", "crypto_future"]:
    if venue == "spot":
        return "crypto"
    return "crypto_future" if delivery else "perpetual_future"


def _vote(data: dict[str, Any]) -> Venue | None:
    """Tell which venue alone sends such a payload, None if it is no market's."""
    kind = data.get("e")
    if kind == "trade":
        return "usdtm" if "X" in data else "spot"
    if kind == "aggTrade":
        return "spot" if "M" in data else "usdtm"
    if kind == "depthUpdate":
        return "usdtm" if "pu" in data else "spot"
    if kind == "bookTicker":
        return "usdtm"
    is_book = kind is None and {"u", "b", "B", "a", "A"} <= data.keys()
    return "spot" if is_book else None


def _amounts(data: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """Return the prices and the sizes of a payload, as they were written.

    Book depth says nothing: its levels hold dust, finer than any order's step.
    """
    if data.get("e") == "depthUpdate":
        return [], []
    if "p" in data:
        return [data["p"]], [data.get("q")]
    return [data.get("b"), data.get("a")], [data.get("B"), data.get("A")]


def _decimals(written: Any) -> int:
    """Return the decimals of *written*: 2 of ``"61837.63000000"``, 0 of nonsense."""
    if not isinstance(written, str):
        return 0
    whole, _, rest = written.partition(".")
    rest = rest.rstrip("0")
    return len(rest) if whole.isdigit() and rest.isdigit() and len(rest) < 13 else 0
