"""What Kraken's AssetPairs lists, as markets of ours: names, steps, other names."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec
from msgspec.structs import replace

from piker.brokers._payload import one_line
from piker.brokers._symbol_file import Listed
from piker.errors import BadFqme
from piker.msgs import Asset, AssetType, MktPair

from ._names import COMMON, FIAT, split, to_websocket
from ._rest import decode_result
from ._rest_schemas import Pair

_PAIRS: Final = msgspec.json.Decoder(dict[str, Pair], strict=False)


def parse_asset_pairs(body: bytes) -> tuple[list[Listed], int]:
    """Return the markets that an AssetPairs body lists, and how many were left out.

    ``XBT/USDT`` is ``xbtusdt.spot.kraken``, its ``bs_mktid`` the websocket's name
    ``BTC/USDT``, its ``rest_name`` the key ``XBTUSDT``; ``btcusdt.spot.kraken`` is an
    alias. Left out are dark pools and what has no name of ours.

    Raises:
      BadPayload: if it is none.
    """
    pairs = decode_result(_PAIRS, body)
    listed: dict[str, Listed] = {}
    for rest_name, pair in pairs.items():
        one = _listed(rest_name, pair)
        if one is not None:
            listed.setdefault(one.mkt.fqme, one)
    return list(listed.values()), len(pairs) - len(listed)


def make_mkt(wsname: str, price_tick: Decimal, size_tick: Decimal) -> MktPair:
    """Return the market of that name; ValueError or BadFqme if it can't be one.

    Args:
      wsname: e.g. ``XBT/USDT``.
      price_tick: step of prices, quote units.
      size_tick: step of sizes, base units.
    """
    base, quote = split(wsname)
    return MktPair(
        dst=Asset(name=base.lower(), atype=_kind(base), tx_tick=size_tick),
        src=Asset(name=quote.lower(), atype=_kind(quote)),
        price_tick=price_tick,
        size_tick=size_tick,
        bs_mktid=to_websocket(wsname),
        broker="kraken",
        venue="spot",
        atype=_kind(base),
    )


def _listed(rest_name: str, pair: Pair) -> Listed | None:
    price_tick = pair.tick_size or Decimal(1).scaleb(-pair.pair_decimals)
    size_tick = Decimal(1).scaleb(-pair.lot_decimals)
    try:
        mkt = replace(
            make_mkt(pair.wsname, price_tick, size_tick),
            size_min=pair.ordermin.normalize(),
            cost_min=pair.costmin.normalize(),
        )
    except (BadFqme, ValueError, ArithmeticError):
        return None
    base, quote = split(pair.wsname)
    common = f"{COMMON.get(base, base)}{COMMON.get(quote, quote)}".lower()
    alias = f"{common}.spot.kraken"
    online = pair.status == "online"
    return Listed(
        mkt=mkt,
        trading=online,
        description=one_line(
            f"{base}/{quote} spot" + ("" if online else f", {pair.status}")
        ),
        aliases=() if alias == mkt.fqme else (alias,),
        rest_name=rest_name,
    )


def _kind(asset: str) -> AssetType:
    return "fiat" if asset in FIAT else "crypto"
