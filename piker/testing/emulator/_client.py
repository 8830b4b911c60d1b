"""Emulators for tests: started, talked to and ended from the test's own process."""

from __future__ import annotations

import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import msgspec
import trio

from ._forked import open_process

if TYPE_CHECKING:
    import httpx

    from ._tape import Trade

VENUES: Final = ("binance.spot", "binance.usdtm", "kraken.spot", "deribit", "ib.tws")

#: Where nobody listens: what isn't emulated must not be looked for in the world.
_NOWHERE: Final = "127.0.0.1:9"
_READY_S: Final = 60.0
_REFUSED_S: Final = 5.0  # for a venue that refuses connections for a while
_END_S: Final = 5.0


class Emulator:
    """A running emulator.

    Attributes:
      venue: one of `VENUES`.
      port: of 127.0.0.1.
      process: it runs in.
      is_replay: it plays a recording, whose time isn't ours.
    """

    def __init__(
        self, venue: str, process: trio.Process, port: int, *, is_replay: bool
    ) -> None:
        self.venue = venue
        self.process = process
        self.port = port
        self.is_replay = is_replay

    @property
    def http_url(self) -> str:
        """Base address of REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Base address of websockets."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def conf(self) -> str:
        """Text for ``conf.toml`` that leads its broker here, and nowhere else."""
        return conf_of(self)

    async def fault(self, kind: str, **args: Any) -> None:
        """Put a fault in force, e.g. ``fault("disconnect", at=[20], how="rst")``.

        Raises:
          ValueError: if there is no such fault.
        """
        await self.control("fault", {"kind": kind, **args})

    async def set_speed(self, speed: float) -> None:
        """Play the rest of a session at *speed*.

        Raises:
          ValueError: no clock plays it, or *speed* isn't a number above 0.
        """
        await self.control("speed", {"speed": speed})

    async def clear(self) -> None:
        """Take all faults back."""
        await self._ask("POST", "clear")

    async def stats(self) -> dict[str, Any]:
        """Return its counters, see `piker.testing.emulator._stats.Stats`."""
        return (await self._ask("GET", "stats")).json()

    async def trades(self, symbol: str, *, whole: bool = False) -> list[Trade]:
        """Return all trades of a market so far.

        Args:
          symbol: e.g. ``BTCUSDT``, at kraken too, or the full name at its source.
          whole: those to come too.

        Raises:
          ValueError: if there is no such market on the tape.
        """
        from ._tape import Trade

        asked = f"trades?symbol={symbol}" + ("&whole=1" if whole else "")
        response = await self._ask("GET", asked)
        if response.status_code != 200:
            raise ValueError(response.json()["error"])
        return msgspec.json.decode(response.content, type=list[Trade])

    async def open_account(
        self, name: str, key: str, secret: str, *, may_trade: bool = True,
        may_withdraw: bool = False, **money: str,
    ) -> None:  # fmt: skip
        """Open an account with a key, and some money by asset; or give it more."""
        told = {
            "name": name, "key": key, "secret": secret, "may_trade": may_trade,
            "may_withdraw": may_withdraw, "money": money,
        }  # fmt: skip
        await self.control("account", told)

    async def account(self, name: str) -> dict[str, Any]:
        """Return an account's money, orders and trades, as the venue has them."""
        return await self.control(f"account?name={name}")

    async def outside(
        self, symbol: str, side: str, price: str, size: str, *, rests: bool = False
    ) -> None:
        """Have somebody else take what there is, or be the best of a side."""
        told = {"symbol": symbol, "side": side, "price": price, "size": size,
                "rests": rests}  # fmt: skip
        await self.control("outside", told)

    async def control(self, path: str, body: Any = None) -> Any:
        """Ask a control path; ValueError if it is refused."""
        method = "GET" if body is None else "POST"
        response = await self._ask(method, path, body)
        if response.status_code != 200:
            raise ValueError(response.json()["error"])
        return response.json()

    async def wait_done(self, deadline_s: float = 30) -> dict[str, Any]:
        """Wait until the tape has played; return the counters then."""
        with trio.fail_after(deadline_s):
            while not (counted := await self.stats())["done"]:  # noqa: ASYNC110
                await trio.sleep(0.25)  # each look costs 4 ms of a core
        return counted

    async def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response:
        import httpx

        async with httpx.AsyncClient(
            trust_env=False, timeout=20, verify=no_tls()
        ) as client:
            url = f"{self.http_url}/_emulator/{path}"
            until = trio.current_time() + _REFUSED_S
            while True:
                try:
                    return await client.request(method, url, json=body)
                # it refuses to listen, as it was told to, or takes nobody in any more
                except (httpx.NetworkError, httpx.RemoteProtocolError):
                    if trio.current_time() >= until:
                        raise
                await trio.sleep(0.05)


@cache
def no_tls() -> ssl.SSLContext:
    """Return what plain HTTP is asked with; made for each client it would take 4 ms.

    To load those who are trusted would take 30 ms.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def conf_of(*emulators: Emulator) -> str:
    """Return text for ``conf.toml`` that leads the brokers of *emulators* to them."""
    tables: dict[str, dict[str, Any]] = {}
    for one in emulators:
        broker, _, kind = one.venue.partition(".")
        if broker == "ib":
            ports = tables.setdefault(broker, {"hosts": ["127.0.0.1"], "ports": []})
            ports["ports"].append(one.port)
            continue
        prefixes = ("spot_", "usdtm_") if broker == "binance" else ("",)
        table = tables.setdefault(
            broker,
            {
                f"{prefix}{key}": f"{scheme}://{_NOWHERE}"
                for prefix in prefixes
                for key, scheme in (("rest", "http"), ("ws", "ws"))
            },
        )
        prefix = f"{kind}_" if broker == "binance" else ""
        if broker == "deribit":  # all of it is asked of one websocket
            table.pop("rest")
            table["ws"] = one.ws_url
        else:
            table |= {f"{prefix}rest": one.http_url, f"{prefix}ws": one.ws_url}
        if one.venue == "binance.spot":
            table["spot_ws_api"] = f"{one.ws_url}/ws-api/v3"
        if one.venue == "kraken.spot":
            table["ws_auth"] = f"{one.ws_url}/auth"
        table["clock"] = "data" if one.is_replay else "wall"
    return "\n".join(
        f"[brokers.{broker}]\n"
        + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items())
        for broker, table in tables.items()
    )


@asynccontextmanager
async def open_emulator(
    venue: str,
    *,
    session: Path | Sequence[Path] | None = None,
    sim: Sequence[str] = (),
    speed: float = 1.0,
    faults: Sequence[dict[str, Any]] = (),
    **options: Any,
) -> AsyncIterator[Emulator]:
    """Run an emulator in a process of its own.

    Args:
      venue: one of `VENUES`.
      session: a recorded session to play, or several, or
      sim: markets of sim, by full name.
      speed: of a session; 0 is as fast as clients read.
      faults: in force from the start, e.g. ``{"kind": "latency", "ms": 50}``.
      **options: other options of the command, e.g. ``made_up=20_000``.

    Raises:
      RuntimeError: if it doesn't start; its text says why.
    """
    argv = [venue, f"--speed={speed}"]
    files = [session] if isinstance(session, Path | str) else list(session or ())
    argv += [f"--session={file}" for file in files]
    argv += [f"--fault={msgspec.json.encode(fault).decode()}" for fault in faults]
    argv += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    argv += ["--sim", *sim] if sim else []
    with tempfile.TemporaryFile() as stderr:
        process = await open_process(argv, stderr)
        try:
            port = await _ready(process, stderr)
            yield Emulator(venue, process, port, is_replay=bool(files))
        finally:
            with trio.CancelScope(shield=True):  # bounded in it
                await _end(process)
            sys.stderr.write(_text_of(stderr))  # nothing, if all went well


async def _ready(process: trio.Process, stderr: BinaryIO) -> int:
    """Return the port that the process says it serves."""
    assert process.stdout is not None
    said = b""
    with trio.move_on_after(_READY_S):
        while not said.endswith(b"\n"):
            data = await process.stdout.receive_some()
            if not data:
                break
            said += data
    if not said.endswith(b"\n"):
        process.kill()
        await process.wait()
        raise RuntimeError(f"the emulator didn't start: {_text_of(stderr)}")
    return int(msgspec.json.decode(said)["port"])


def _text_of(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


async def _end(process: trio.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(_END_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            await stream.aclose()
