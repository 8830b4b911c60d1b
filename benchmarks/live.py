"""Live orders at an emulated venue: the way to its wire, how many, another's faults.

client --order--> emsd: journal --> brokerd --websocket--> emulated Kraken
floor of it: a bare websocket client of the same emulator, bare hops, an fdatasync
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from threading import Thread
from typing import Any, Final

import psutil

from ._floor import Floor, open_floor
from ._procs import Program, Tree, on_disk, piker_tree, running
from ._report import Measure, Report, compared, quantile

FLOOR: Final = (
    "a bare websocket client of the same emulator; hops of a bare tractor stream and an"
    " fdatasync on the journal's disk"
)
FQME: Final = "xbtusdt.spot.kraken"
_CONF: Final = """
[risk]
max_open_orders = 0
max_orders_per_s = 0
price_band_pct = 0
[clearing]
notify = []
[data]
store = false
[brokers.kraken]
rest = "{kraken.http}"
ws = "{kraken.ws}"
ws_auth = "{kraken.ws}/auth"
requests = 10000
private_requests = 10000
orders = 10000
[brokers.binance]
spot_rest = "{binance.http}"
spot_ws = "{binance.ws}"
spot_ws_api = "{binance.ws}/ws-api/v3"
"""
_EDGE_S: Final = 1 / 6
_DEADLINE_S: Final = 600.0
_FLOOD: Final = 24_000


@dataclass(frozen=True)
class Venue:
    """An emulated venue with an account.

    Attributes:
      program: its process.
      port: of 127.0.0.1.
      key, secret: of the account.
    """

    program: Program
    port: int
    key: str
    secret: str

    @property
    def http(self) -> str:
        """Where its REST is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """Where its websockets are."""
        return f"ws://127.0.0.1:{self.port}"

    def control(self, path: str, body: Any = None) -> Any:
        """Ask a control path."""
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.http}/_emulator/{path}"
        with urllib.request.urlopen(url, data, timeout=120) as answer:
            return json.load(answer)


@contextmanager
def _venue(name: str, symbol: str) -> Iterator[Venue]:
    argv = ("piker.testing.emulator", name, "--budget=1000000", "--streams=0",
            "--sim", "btcusdt.spot.sim")  # fmt: skip
    with running(Program(argv)) as program:
        port = program.hear_key("port")
        venue = Venue(program, port, secrets.token_hex(16), secrets.token_hex(32))
        venue.control("still")
        for side, price in (("sell", "60000"), ("buy", "59000")):
            told = {"symbol": symbol, "side": side, "price": price, "size": "50"}
            venue.control("outside", {**told, "rests": True})
        money = {"USDT": "100000000"}
        account = {"name": "main", "key": venue.key, "secret": venue.secret}
        venue.control("account", {**account, "money": money})
        yield venue


@dataclass(frozen=True)
class Scene:
    """All there is.

    Attributes:
      kraken: where is traded.
      binance: what is struck by faults.
      tree: of both.
      ours, bare: clients of *kraken*.
      floor: hops and fdatasyncs.
    """

    kraken: Venue
    binance: Venue
    tree: Tree
    ours: Program
    bare: Program
    floor: Floor


@contextmanager
def _scene() -> Iterator[Scene]:
    with ExitStack() as stack:
        disk = stack.enter_context(on_disk("live"))
        kraken = stack.enter_context(_venue("kraken.spot", "BTC/USDT"))
        binance = stack.enter_context(_venue("binance.spot", "BTCUSDT"))
        conf = _CONF.format(kraken=kraken, binance=binance)
        (disk / "config").mkdir(mode=0o700)
        held = disk / "config" / "brokers.toml"
        held.touch(mode=0o600)
        held.write_text(
            "".join(
                f'[{name}.accounts.main]\nkey = "{venue.key}"\n'
                f'secret = "{venue.secret}"\n'
                for name, venue in (("kraken", kraken), ("binance", binance))
            )
        )
        tree = stack.enter_context(piker_tree(conf, at=disk))
        told = {
            "addr": tree.addr, "fqme": FQME, "account": "kraken.main",
            "http": kraken.http, "ws": f"{kraken.ws}/auth/v2", "key": kraken.key,
            "secret": kraken.secret,
        }  # fmt: skip
        # a live session of the other venue, too
        other = {**told, "fqme": "btcusdt.spot.binance", "account": "binance.main"}
        clients = []
        for kind, more in (("ours", told), ("bare", told), ("ours", other)):
            client = tree.program("benchmarks._venue_client", kind, **more)
            clients.append(stack.enter_context(client))
            clients[-1].hear_key("ready")
        floor = stack.enter_context(open_floor(disk))
        yield Scene(kraken, binance, tree, *clients[:2], floor)


def run(
    rounds: int = 5, *, seconds: float = 60.0, orders: int = 40, strike_s: float = 4.0
) -> Report:
    """Measure the way to the venue, pairs of orders and cancels, another's faults.

    Args:
      rounds: how often each is measured in turn.
      seconds: for which pairs go on.
      orders: one by one, a round.
      strike_s: how long a fault lasts.
    """
    with _scene() as scene:
        ways, made_of = _way(scene, rounds, orders)
        rates, note = _pairs(scene, seconds)
        faults = list(_faults(scene, rounds, strike_s))
    return Report("live", FLOOR, (*ways, *rates, *faults), (made_of, note))


def _way(scene: Scene, rounds: int, orders: int) -> tuple[tuple[Measure, Measure], str]:
    """Measure from emsd, and from a client, to the venue, less a bare client's way."""
    took: dict[str, list[float]] = {"emsd": [], "ours": [], "bare": []}
    floor: list[float] = []
    for each in (scene.ours, scene.bare):
        each.does("sent", count=5)
    for _ in range(rounds):
        for name, client in (("ours", scene.ours), ("bare", scene.bare)):
            sent = client.does("sent", count=orders)
            told = scene.kraken.control("account?name=main")["orders"][-orders:]
            for (sent_ns, taken_ns), one in zip(sent, told, strict=True):
                took[name].append((one["heard_ns"] - sent_ns) / 1e6)
                if taken_ns:
                    took["emsd"].append((one["heard_ns"] - taken_ns) / 1e6)
        floor += [ms / 2 for ms in scene.floor.ms(orders)]
    bare = median(took["bare"])
    rows = [
        compared(
            f"{name} to wire, less bare's; 3 hops, 1 fdatasync", "ms",
            [ms - bare for ms in took[samples]], floor, target=target,
        )
        for name, samples, target in (("emsd", "emsd", 1.0), ("client", "ours", None))
    ]  # fmt: skip
    note = f"the bare client's way to the venue is {bare:.2f} ms; {scene.floor.note}"
    return (rows[0], rows[1]), note


def _pairs(scene: Scene, seconds: float) -> tuple[tuple[Measure, ...], str]:
    """Measure pairs of an order and its cancel, eight at once, for a while."""
    workers = 8
    edge_s = seconds * _EDGE_S
    before = scene.bare.does("pairs", seconds=edge_s, workers=workers)
    started = _memory(scene.tree)
    ours = scene.ours.does("pairs", seconds=seconds, workers=workers)
    grown = {
        name: (mib - started.get(name, mib))
        for name, mib in _memory(scene.tree).items()
    }
    after = scene.bare.does("pairs", seconds=edge_s, workers=workers)
    rate = len(ours) / seconds
    bare = (len(before) + len(after)) / 2 / edge_s
    first = [ms for at, ms in ours if at < edge_s] or [ours[0][1]]
    last = [ms for at, ms in ours if at >= seconds - edge_s] or [ours[-1][1]]
    at = [[quantile(samples, 0.99)] for samples in (last, first)]
    rows = (
        compared(
            "a pair of order and cancel, 8 at once; bare", "ms a pair", [1e3 / rate],
            [1e3 / bare], target=2.0,
        ),
        compared(
            f"p99 of the last {edge_s:.0f} s of {seconds:.0f}; first", "ms", *at,
            target=1.2,
        ),
    )  # fmt: skip
    words = ", ".join(f"{name} {mib:+.1f} MiB" for name, mib in grown.items())
    return rows, f"{rate:,.0f} pairs/s, bare {bare:,.0f}; {len(ours):,} pairs: {words}"


def _memory(tree: Tree) -> dict[str, float]:
    """Return MiB of what works on orders, by its name."""
    found = {}
    for each in psutil.Process(tree.root.pid).children(recursive=True):
        words = " ".join(each.cmdline())
        for name in ("emsd", "brokerd.kraken"):
            if f"piker {name} " in words:
                found[name] = each.memory_info().rss / 2**20
    return found


def _faults(scene: Scene, rounds: int, strike_s: float) -> Iterator[Measure]:
    """Measure cancels while the other venue is well, hangs, breaks off and dies."""
    calm: list[float] = []
    took: dict[str, list[float]] = {"hangs": [], "breaks off": [], "floods": []}
    silence = {"kind": "silence", "seconds": strike_s, "frames": 0, "pongs": False}
    cut = {"kind": "disconnect", "how": "rst"}
    for _ in range(rounds):
        calm += _cancels(scene, strike_s)
        scene.binance.control("fault", silence)
        took["hangs"] += _cancels(scene, strike_s)
        scene.binance.control("clear", {})
        for _ in range(4):
            scene.binance.control("fault", cut)
            took["breaks off"] += _cancels(scene, strike_s / 4)
        took["floods"] += _flooded(scene, strike_s)
    calm += _cancels(scene, strike_s)
    os.kill(scene.binance.program.pid, signal.SIGKILL)
    took["is dead"] = _cancels(scene, strike_s * rounds)
    for name, samples in took.items():
        at = [[quantile(each, 0.99)] for each in (samples, calm)]
        yield compared(
            f"p99 of a cancel while another venue {name}; is well", "ms", *at,
            target=1.2,
        )  # fmt: skip


def _flooded(scene: Scene, seconds: float) -> list[float]:
    """Measure cancels while the other venue says as much as it can, on its lines."""
    frame = b'{"subscriptionId":0,"event":{"e":"balanceUpdate","a":"BTC"}}'
    with tempfile.NamedTemporaryFile() as file:
        file.write((len(frame).to_bytes(4, "big") + frame) * _FLOOD)
        file.flush()
        told = {"kind": "flood", "path": file.name}
        flood = Thread(target=scene.binance.control, args=("fault", told))
        flood.start()
        found = _cancels(scene, seconds)
        flood.join(_DEADLINE_S)
    return found


def _cancels(scene: Scene, seconds: float) -> list[float]:
    found: list[float] = scene.ours.does("cancels", seconds=seconds, every_s=0.005)
    return found
