"""Orders and markets that tests of clearing share."""

from decimal import Decimal

from piker.msgs import Asset, MktPair, Order, PriceStep

D = Decimal


def market(price_tick="0.01", size_tick="0.001", **more):
    return MktPair(
        dst=Asset(name="btc"),
        src=Asset(name="usdt"),
        price_tick=D(price_tick),
        size_tick=D(size_tick),
        bs_mktid="BTCUSDT",
        broker="sim",
        venue="spot",
        **more,
    )


#: Steps that are coarser from a price on.
FROM_100 = (PriceStep(at_least=D(100), tick=D("0.05")),)
MKT = market()


def order(action="buy", price="100", size="1", **more):
    if "trigger" in more and more["trigger"] is not None:
        more["trigger"] = D(more["trigger"])
    more = {"oid": "o1", "symbol": MKT.fqme, **more}
    price = None if price is None else D(price)
    return Order(action=action, price=price, size=D(size), **more)
