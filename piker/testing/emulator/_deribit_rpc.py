"""Requests of JSON-RPC as the emulated Deribit hears them, and who asks.

By https://docs.deribit.com/articles/json-rpc-overview and
https://docs.deribit.com/api-reference/session-management/public-set_heartbeat.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final

import msgspec
import trio

from ._deribit_auth import Token
from ._deribit_said import Said
from ._exchange import Order
from ._ws import Connection

HTTP: Final = "/api/v2"
WS: Final = "/ws/api/v2"
#: Numbers as they stand there.
_DECODER: Final = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")
_BEAT: Final = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}'
_TEST: Final = (
    b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}'
)
_LEAST_S: Final = 10


class Asking(msgspec.Struct, frozen=True):
    """A request.

    Attributes:
      id: that the answer is to have.
      method: e.g. ``public/ticker``; empty if it is none.
      params: of it.
      begun_us: when it was heard, epoch.
      wrong: what is to be said of it at once.
    """

    id: Any
    method: str
    params: dict[str, Any]
    begun_us: int
    wrong: Said | None = None

    @classmethod
    def of(cls, payload: bytes) -> Asking:
        """Return what a message asks for."""
        now_us = time.time_ns() // 1000
        try:
            told = _DECODER.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls(None, "", {}, now_us, Said(-32700, "Parse error"))
        if not isinstance(told, dict):
            return cls(None, "", {}, now_us, Said(11050, "bad_request"))
        method, params = told.get("method"), told.get("params", {})
        if not isinstance(method, str):
            text = "Invalid Request"
            return cls(told.get("id"), "", {}, now_us, Said(-32600, text))
        if not isinstance(params, dict):
            text = "Invalid params"
            return cls(told.get("id"), method, {}, now_us, Said(-32602, text))
        return cls(told.get("id"), method.removeprefix("/"), params, now_us)

    def reply(self, told: Any) -> bytes:
        """Return the answer that tells a result, or a Said."""
        now_us = time.time_ns() // 1000
        whole: dict[str, Any] = {"jsonrpc": "2.0"}
        if self.id is not None:
            whole["id"] = self.id
        if isinstance(told, Said):
            whole["error"] = told.row()
        else:
            whole["result"] = told
        return _ENCODER.encode(
            whole
            | {"usIn": self.begun_us, "usOut": now_us,
               "usDiff": now_us - self.begun_us, "testnet": False}
        )  # fmt: skip


def notification(channel: str, data: Any) -> bytes:
    """Return what a channel tells, decimals as numbers."""
    params = {"channel": channel, "data": data}
    return _ENCODER.encode(
        {"jsonrpc": "2.0", "method": "subscription", "params": params}
    )


class Session:
    """Who asks on a connection, and the heartbeats that it wants.

    Args:
      conn: the connection; None: one request of HTTP.
      ping_s: between heartbeats, None: as the client says.

    Attributes:
      token: what was authenticated last, None if nothing was.
      cancels: its orders end with it; None: nobody said.
      placed: its orders.
    """

    def __init__(self, conn: Connection | None, ping_s: float | None = None) -> None:
        self.conn = conn
        self.token: Token | None = None
        self.cancels: bool | None = None
        self.placed: list[Order] = []
        self._ping_s = ping_s
        self._every_s = 0.0
        self._waits_since: float | None = None
        self._changed = trio.Event()

    def note(self, asking: Asking) -> None:
        """Note that a request came: it may be what a test_request asks for."""
        if asking.method == "public/test":
            self._waits_since = None

    def set_heartbeat(self, seconds: int) -> str:
        """Have heartbeats be sent; raises Said."""
        if seconds < _LEAST_S:
            reason = f"value must be greater or equal {_LEAST_S}"
            raise Said(-32602, "Invalid params", {"reason": reason,
                                                  "param": "interval"})  # fmt: skip
        self._every_s = self._ping_s or float(seconds)
        self._change()
        return "ok"

    def disable_heartbeat(self) -> str:
        """Have none be sent any more."""
        self._every_s = 0.0
        self._change()
        return "ok"

    def _change(self) -> None:
        self._waits_since = None
        self._changed.set()
        self._changed = trio.Event()

    async def beat(self) -> None:
        """Send heartbeats; end once a test_request wasn't answered in time."""
        assert self.conn is not None, "it is a websocket"
        while True:
            every_s, changed = self._every_s, self._changed
            if not every_s:
                await changed.wait()
                continue
            with trio.move_on_after(every_s) as waited:
                await changed.wait()
            if not waited.cancelled_caught:
                continue
            if self._waits_since is not None:
                return
            if self.conn.is_silent:
                continue
            self.conn.say(_BEAT)
            self._waits_since = trio.current_time()
            self.conn.say(_TEST)
