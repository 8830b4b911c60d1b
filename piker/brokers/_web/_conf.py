"""What ``conf.toml`` says of a web venue: its table below ``[brokers]``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from piker.msgs import SessionClock
from piker.types import Struct

RestUrl = Annotated[
    str, Meta(pattern=r"^https?://[^/\s]+", description="a URL, http(s)://HOST[:PORT]")
]
WsUrl = Annotated[
    str, Meta(pattern=r"^wss?://[^/\s]+", description="a URL, ws(s)://HOST[:PORT]")
]
# a password with one of @/?# in it is to be percent-encoded: raw, it would end early,
# and the rest be taken for a host
ProxyUrl = Annotated[
    str,
    Meta(
        pattern=r"^(|(https?|socks5h?)://([^@/?#\s]+@)?"
        r"(\[[0-9A-Fa-f:.]+\]|[^@/?#\s:\[\]]+)(:\d{1,5})?)$",
        description="a proxy's URL, SCHEME://[USER:PASSWORD@]HOST[:PORT]",
    ),
]


class WebConf(Struct, frozen=True, kw_only=True):
    """What the tables of all web venues may say.

    Attributes:
      proxy: through which the venue is reached; empty: what the environment says.
      clock: ``wall``, the time of day as the venue tells it, or ``data`` for a venue
        that replays another time: its bars follow its trades, whatever clocks show.
      deadline_s: for each request.
      reconnect_max_s: a lost stream is connected to again after a quarter of a second,
        then ever later, but never later than this.
    """

    proxy: ProxyUrl = ""
    clock: Literal["wall", "data"] = "wall"
    deadline_s: Annotated[float, Meta(ge=0.1, le=600)] = 10.0
    reconnect_max_s: Annotated[float, Meta(ge=0.01, le=3600)] = 30.0


def replay_clock(broker: str, conf: WebConf) -> SessionClock | None:
    """Return the clock of a venue that replays another time, None if it doesn't."""
    if conf.clock == "wall":
        return None
    return SessionClock(name=f"{broker}.data", origin_ns=0, started_ns=0, speed=0.0)
