"""The server: REST and websockets on one port of the loopback.

accept --head--> Upgrade: websocket --> ServerProtocol --> Connection
                 /_emulator/...     --> control, never struck by a fault
                 else               --> h11, keep-alive --> the venue's REST
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec
import trio
from websockets.frames import Opcode
from websockets.http11 import Request

from piker.errors import UsageError

from ._accounts import Accounts
from ._core import PAGE, Core, OwnProtocol, Reply, Venue
from ._exchange import Refused
from ._faults import (
    AnyFault,
    Asked,
    Disconnect,
    Flood,
    Refuse,
    Told,
    frames_of,
    parse_fault,
)
from ._player import Player
from ._tape import to_trades
from ._tws_faults import Answer, Limbo, OwnFault, Reset
from ._ws import HIGH_BYTES, Connection, is_message

CONTROL: Final = "/_emulator/"
_HEAD_MAX: Final = 65536  # what is too long for a venue is to be refused by it
_HOST: Final = "127.0.0.1"
_TLS: Final = b"\x16\x03"  # how a handshake starts; there is none to be had here
_NO_TLS: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)


class Server:
    """Serves one venue.

    Attributes:
      core: its state.
      venue: what it says.
      player: of its tape.
      port: where, once `listen` was called.
    """

    def __init__(self, core: Core, venue: Venue, player: Player) -> None:
        self.core = core
        self.venue = venue
        self.player = player
        self.port = 0
        self._keeper = _bound(0)  # keeps the port ours while nobody listens
        self._refusing = trio.Event()
        self._refuse_s = 0.0

    def listen(self, port: int) -> trio.socket.SocketType:
        """Return a socket that listens; OSError if the port is taken."""
        if port != self.port:
            self._keeper.close()
            self._keeper = _bound(port)
        self.port = self._keeper.getsockname()[1]
        sock = trio.socket.from_stdlib_socket(_bound(self.port))
        sock.listen(1024)
        return sock

    async def run(self, sock: trio.socket.SocketType) -> None:
        """Serve what connects to *sock*, for ever."""
        with self._keeper:
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self.player.run)
                if self.venue.private is not None:
                    tasks.start_soon(self.venue.private.accounts.run)
                while True:
                    self._refusing = trio.Event()
                    await self._accept_until_refusing(sock, tasks)
                    await trio.sleep(self._refuse_s)
                    sock = self.listen(self.port)

    async def _accept_until_refusing(
        self, sock: trio.socket.SocketType, tasks: trio.Nursery
    ) -> None:
        with sock:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(self._accept, sock, tasks)
                await self._refusing.wait()
                accepting.cancel_scope.cancel()

    async def _accept(self, sock: trio.socket.SocketType, tasks: trio.Nursery) -> None:
        while True:
            try:
                client, _ = await sock.accept()
            except OSError:  # the client left before, or no descriptor is left
                await trio.sleep(0.01)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tasks.start_soon(self._serve, trio.SocketStream(client))

    async def _serve(self, stream: trio.SocketStream) -> None:
        stats = self.core.stats
        stats.connections += 1
        stats.connections_now += 1
        try:
            venue = self.venue
            own = venue if isinstance(venue, OwnProtocol) else None
            head = await _read_head(stream, own.greeting if own else _TLS)
            if own is not None and head.startswith(own.greeting):
                await own.talk(stream, head)
                return
            if head.startswith(_TLS):
                await stream.send_all(_NO_TLS)
            if b"\r\n\r\n" not in head:
                return
            if CONTROL.encode() not in head.partition(b"\r\n")[0]:
                faults = self.core.faults
                await trio.sleep(faults.slow.accept_s + faults.latency_s)
            if b"upgrade: websocket" in head.lower():
                await self._serve_websocket(stream, head)
            else:
                await _Http(self, stream).run(head)
        except _GONE:
            pass
        finally:
            stats.connections_now -= 1
            await trio.aclose_forcefully(stream)

    # -- websockets ----------------------------------------------------------------

    async def _serve_websocket(self, stream: trio.SocketStream, head: bytes) -> None:
        core = self.core
        core.stats.attempts_s.append(core.stats.age_s())
        conn = Connection(stream, core.faults, core.stats, "")
        conn.proto.receive_data(head)
        if not self._shake_hands(conn):
            conn.flush_protocol()
            async with trio.open_nursery() as tasks:
                tasks.start_soon(conn.run_sender)
                await conn.wait_below(0)
                tasks.cancel_scope.cancel()
            return
        conn.flush_protocol()
        core.stats.websockets += 1
        core.stats.websockets_now += 1
        core.websockets[conn] = None
        try:
            await self._run_websocket(conn)
        finally:
            core.stats.websockets_now -= 1
            core.drop(conn)

    def _shake_hands(self, conn: Connection) -> bool:
        """Answer the handshake; tell whether it succeeded."""
        proto = conn.proto
        requests = [e for e in proto.events_received() if isinstance(e, Request)]
        if not requests:
            return False
        conn.path = requests[0].path
        fault = self.core.faults.upgrade()
        if fault is not None:
            proto.send_response(proto.reject(fault.status, "emulated\n"))
            return False
        host = requests[0].headers.get("Host", "")
        if status := self.venue.refusal(f"ws://{host}{conn.path}"):
            proto.send_response(proto.reject(status, "no websocket here\n"))
            return False
        response = proto.accept(requests[0])
        proto.send_response(response)
        return response.status_code == 101

    async def _run_websocket(self, conn: Connection) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(conn.run_sender)
            tasks.start_soon(self.venue.keep, conn)
            self.venue.opened(conn)
            while frames := await conn.receive():
                for frame in frames:
                    if frame.opcode is Opcode.CLOSE:
                        continue
                    if not self.venue.counted(conn):
                        await conn.close(1008, "Too many requests")
                    elif is_message(frame):
                        self.venue.heard(conn, bytes(frame.data))
            with trio.move_on_after(1):
                await conn.wait_below(0)
            tasks.cancel_scope.cancel()

    # -- control -------------------------------------------------------------------

    async def control(self, path: str, query: dict[str, str], body: bytes) -> Reply:
        """Do what a control path asks for."""
        core = self.core
        match path.removeprefix(CONTROL):
            case "fault" | "speed" as what:
                return await self._told(what, body)
            case "clear":
                core.faults.clear()
                if isinstance(self.venue, OwnProtocol):
                    self.venue.clear()
                if self.venue.private is not None:
                    self.venue.private.accounts.release()
                for conn in core.websockets:
                    conn.lose, conn.silent_until = 0, trio.current_time()
                return _json({})
            case "stats":
                return _json(self.stats())
            case "trades":
                return self._trades(query)
            case what if self.venue.private is not None:
                return _control(self.venue.private.accounts, what, query, body)
        return _json({"error": f"no control path {path!r}"}, 404)

    async def _told(self, what: str, body: bytes) -> Reply:
        try:
            if what == "fault":
                await self.set_fault(parse_fault(body))
            else:
                self.core.set_speed(_parse_speed(body))
        except UsageError as error:
            return _json({"error": str(error)}, 400)
        return _json({})

    async def set_fault(self, fault: AnyFault) -> None:
        """Put *fault* in force."""
        own = self.venue if isinstance(self.venue, OwnProtocol) else None
        if isinstance(fault, Refuse):
            self._refuse(fault)
        elif isinstance(fault, OwnFault | Reset | Answer | Limbo) and own is None:
            raise UsageError("this venue's protocol has nothing of the kind")
        elif isinstance(fault, OwnFault) and own is not None:
            self.core.faults.note(fault)
            own.strike(fault)
        elif isinstance(fault, Reset):
            self._refuse(Refuse(fault.seconds))
            self.core.faults.note(fault)
            await self.player.disconnect(Disconnect(), list(self.core.websockets))
        elif isinstance(fault, Asked | Told) and self.venue.private is None:
            raise UsageError("this venue's private side isn't emulated")
        elif isinstance(fault, Flood):
            self.core.faults.note(fault)
            for frame in frames_of(fault.path):
                for conn in list(self.core.websockets):
                    conn.push(conn.framed(frame))
                    await conn.wait_below(HIGH_BYTES)
            for conn in list(self.core.websockets):
                await conn.wait_read()
        else:
            await self.player.apply(fault)

    def _refuse(self, fault: Refuse) -> None:
        self.core.faults.note(fault)
        self._refuse_s = fault.seconds
        self._refusing.set()

    def stats(self) -> dict[str, Any]:
        """Return all counters."""
        core = self.core
        return core.stats.to_dict() | {
            "subscribed_now": {s: len(conns) for s, conns in core.listeners.items()},
            "fired": core.faults.fired,
            "faults_to_come": sum(map(len, core.faults.at.values())),
            "passed": core.tape.passed,
            "left": len(core.tape.items),
            "trades": sum(one.trades for one in core.tape.markets.values()),
            "done": core.tape.is_done,
            "clock_ns": core.clock_ns(),
        }

    def _trades(self, query: dict[str, str]) -> Reply:
        wanted = query.get("symbol", "")
        for market in self.core.tape.markets.values():
            mkt = market.mkt
            pair = mkt.dst.name + (mkt.src.name if mkt.src else "")
            if wanted in {mkt.bs_mktid, mkt.fqme, pair.upper()}:
                items: list[Any] = list(market.prints)
                if query.get("whole"):
                    items += [i for i in self.core.tape.items if i.market is market]
                return _json(list(to_trades(items)))
        return _json({"error": f"no market {wanted!r}"}, 404)


class _Http:
    """One connection of plain HTTP."""

    def __init__(self, server: Server, stream: trio.SocketStream) -> None:
        self.server = server
        self.core = server.core
        self.stream = stream
        self.proto = h11.Connection(h11.SERVER)

    async def run(self, head: bytes) -> None:
        """Answer requests until either side closes."""
        self.proto.receive_data(head)
        request, body = None, b""
        while True:
            try:
                event = self.proto.next_event()
            except h11.RemoteProtocolError:
                return
            match event:
                case h11.Request():
                    request, body = event, b""
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage() if request is not None:
                    await self._respond(request, body)
                    if self.proto.our_state is h11.MUST_CLOSE:
                        return
                    self.proto.start_next_cycle()
                case h11.ConnectionClosed():
                    return
                case h11.NEED_DATA:
                    data = await self.stream.receive_some(_HEAD_MAX)
                    await trio.sleep(self.core.faults.latency_s if data else 0)
                    self.proto.receive_data(data)

    async def _respond(self, request: h11.Request, body: bytes) -> None:
        parts = urlsplit(request.target.decode("latin-1"))
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path.startswith(CONTROL):
            reply = await self.server.control(parts.path, query, body)
        else:
            answer = await self._answer(parts.path, query, request, body)
            if answer is None:
                self.stream.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                raise trio.BrokenResourceError
            reply = answer
            faults = self.core.faults
            await trio.sleep(faults.slow.response_s + faults.latency_s)
        headers = [
            ("content-type", reply.kind),
            ("content-length", str(len(reply.body))),
            *reply.headers,
        ]
        send = self.proto.send
        response = h11.Response(status_code=reply.status, headers=headers)
        data = send(response) or b""
        if request.method != b"HEAD":
            data += send(h11.Data(data=reply.body)) or b""
        data += send(h11.EndOfMessage()) or b""
        await self.stream.send_all(data)

    async def _answer(
        self, path: str, query: dict[str, str], request: h11.Request, body: bytes
    ) -> Reply | None:
        """Return the answer to a request, None where there is none."""
        stats = self.core.stats
        stats.requests[path] += 1
        fault = self.core.faults.http(path)
        if fault is not None:
            after = fault.retry_after
            headers = () if after is None else (("retry-after", str(after)),)
            if fault.html:
                reply = Reply(fault.status, PAGE, headers, "text/html")
            else:
                said = {"code": -1000, "msg": "emulated"}
                reply = _json(said, fault.status, headers)
        elif (private := self.server.venue.private) is not None and private.takes(
            request.method.decode(), path
        ):
            raw = urlsplit(request.target.decode("latin-1")).query
            told = {name.decode(): value.decode() for name, value in request.headers}
            found = await private.rest(request.method.decode(), path, raw, body, told)
            if found is None:
                return None
            reply = found
        elif request.method != b"GET":
            reply = _json({"code": -1000, "msg": "only GET is emulated"}, 405)
        else:
            reply = self.server.venue.answer(path, query)
        stats.statuses[str(reply.status)] += 1
        return reply


def _control(
    accounts: Accounts, what: str, query: dict[str, str], body: bytes
) -> Reply:
    """Do what a control path of the accounts asks for."""
    try:
        found = accounts.control(what, query, body)
    except (msgspec.MsgspecError, Refused, KeyError) as error:
        return _json({"error": f"{what}: {error}"}, 400)
    if found is None:
        return _json({"error": f"no control path {what!r}"}, 404)
    return _json(found)


def _parse_speed(body: bytes) -> float:
    try:
        return msgspec.json.decode(body, type=dict[str, float])["speed"]
    except (msgspec.MsgspecError, KeyError):
        raise UsageError('the tape\'s speed is told as {"speed": 20}') from None


def _json(
    value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Reply:
    return Reply(status, msgspec.json.encode(value), headers)


def _bound(port: int) -> socket.socket:
    """Return a socket with a port of the loopback that isn't listening yet."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((_HOST, port))
    except OSError:
        sock.close()
        raise
    return sock


async def _read_head(stream: trio.SocketStream, greeting: bytes) -> bytes:
    """Return what the client sent up to the end of a head, if that comes.

    Or up to its first bytes, where those say that it speaks another protocol.
    """
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _HEAD_MAX:
        data = await stream.receive_some(_HEAD_MAX)
        head += data
        if not data or head.startswith((_TLS, greeting)):
            break
    return head
