"""What ``conf.toml`` says of IB: where its gateways listen, and how they are asked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Final, Literal

from msgspec import Meta

from piker.config import load_broker_config
from piker.errors import ConfigError
from piker.msgs import SessionClock
from piker.types import Struct

BROKER: Final = "ib"

#: Kinds of processes that connect: each has client ids of its own.
Role = Literal["datad", "brokerd", "ledger"]


def _some(words: str) -> Meta:
    return Meta(min_length=1, max_length=16, description=f"a list of {words}")


Host = Annotated[str, Meta(pattern=r"^[^\s/:@]+$", description="a host's name")]
Hosts = Annotated[tuple[Host, ...], _some('names of hosts, e.g. ["127.0.0.1"]')]
Port = Annotated[int, Meta(ge=1, le=65_535)]
Ports = Annotated[tuple[Port, ...], _some("ports, e.g. [7497, 4002]")]
ClientId = Annotated[int, Meta(ge=1, le=2_000_000_000)]
Seconds = Annotated[float, Meta(ge=0.05, le=600)]


class IbConf(Struct, frozen=True, kw_only=True):
    """The table ``[brokers.ib]``.

    A gateway is IB's own program, TWS or the IB Gateway: it is logged in to an account
    and lets programs on its machine, or on those it trusts, connect to it.

    Attributes:
      hosts, ports: where gateways may listen; each host is tried at each port, in
        order, and the first that answers is taken. By default those of a paper account
        come first: TWS 7497, Gateway 4002; then those of a live one: 7496, 4001.
      datad_id, brokerd_id, ledger_id: the first client id that a process of that kind
        takes. Two connections can't have the same one, and an order belongs to the id
        that placed it.
      ids: so many ids from the first on are tried if others have them already; of
        brokerd none but the first. As 0 it may change what was placed in TWS, too.
      deadline_s: for a request, and for a gateway to let us in.
      reconnect_max_s: the longest wait before a lost gateway is looked for again.
      messages: requests within a second, subscriptions too; a gateway takes 50, and
        shuts out who goes on sending more.
      small_bars: requests for bars of 30 s or less, and for past trades, within ten
        minutes; IB allows 60.
      quiet_s: a market that tells nothing for so long is asked for anew, then after
        twice as long, up to ten times: IB doesn't say of each that it is served no
        more.
      outside_rth: orders for stocks count outside the regular hours, too.
      market_data_type: 1 live, 2 frozen, 3 delayed, 4 delayed and frozen.
      clock: ``wall``, the time of day; ``data`` for a gateway that replays another
        time: bars follow the trades, whatever clocks show.
    """

    hosts: Hosts = ("127.0.0.1",)
    ports: Ports = (7497, 4002, 7496, 4001)
    datad_id: ClientId = 6116
    brokerd_id: Annotated[int, Meta(ge=0, le=2_000_000_000)] = 6136
    ledger_id: ClientId = 6156
    ids: Annotated[int, Meta(ge=1, le=20)] = 5
    deadline_s: Seconds = 10.0
    reconnect_max_s: Annotated[float, Meta(ge=0.05, le=3600)] = 30.0
    messages: Annotated[int, Meta(ge=1, le=100_000)] = 45
    small_bars: Annotated[int, Meta(ge=1, le=100_000)] = 55
    quiet_s: Annotated[float, Meta(ge=0.5, le=86_400)] = 60.0
    outside_rth: bool = False
    market_data_type: Literal[1, 2, 3, 4] = 1
    clock: Literal["wall", "data"] = "wall"

    def places(self) -> Iterator[tuple[str, int]]:
        """Yield (host, port) of each place a gateway may be at, in order."""
        for host in self.hosts:
            for port in self.ports:
                yield host, port

    def client_ids(self, role: Role) -> range:
        """Return the ids that a process of that kind may have, the best first."""
        first = {
            "datad": self.datad_id,
            "brokerd": self.brokerd_id,
            "ledger": self.ledger_id,
        }[role]
        # an order can be changed and ended by the id alone that placed it
        return range(first, first + (1 if role == "brokerd" else self.ids))


def load_conf() -> IbConf:
    """Return what ``conf.toml`` says; raises ConfigError.

    Two kinds of processes whose ids overlap would shut each other out.
    """
    conf = load_broker_config(BROKER, IbConf)
    check_ids(conf)
    return conf


def check_ids(conf: IbConf) -> None:
    """Raise ConfigError if two kinds of processes may take the same client id."""
    firsts = sorted(
        (getattr(conf, name), name) for name in ("datad_id", "brokerd_id", "ledger_id")
    )
    for (low, one), (high, other) in pairwise(firsts):
        if high - low < conf.ids:
            raise ConfigError(
                f"brokers.ib: {one} and {other} are {high - low} apart: with"
                f" ids = {conf.ids} they are to be {conf.ids} apart at least"
            )


def replay_clock(conf: IbConf) -> SessionClock | None:
    """Return the clock of a gateway that replays another time, None if it doesn't."""
    if conf.clock == "wall":
        return None
    return SessionClock(name=f"{BROKER}.data", origin_ns=0, started_ns=0, speed=0.0)
