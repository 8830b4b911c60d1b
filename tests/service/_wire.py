"""What goes over a connection between actors, as a stranger would spell it.

It differs between the versions of tractor; ``FARES`` are things no actor sends.
"""

from __future__ import annotations

import struct

import msgspec

from piker.service import _tractor as t

UID = ("stranger", "1234")


def frame(message: object) -> bytes:
    return framed(msgspec.msgpack.encode(message))


def framed(body: bytes) -> bytes:
    return struct.pack("<I", len(body)) + body


def hello(name: str = UID[0], unique: str = UID[1]) -> bytes:
    if t.A5:
        return frame([name, unique])
    return frame({"msg_type": "Aid", "name": name, "uuid": unique})


def call(ns: str, func: str, kwargs: object, cid: str = "c") -> bytes:
    """Ask for a function, of the actor itself if *ns* is "self"."""
    if t.A5:
        return frame({"cmd": [ns, func, kwargs, UID, cid]})
    return frame(
        {
            "msg_type": "Start",
            "cid": cid,
            "ns": ns,
            "func": func,
            "kwargs": kwargs,
            "uid": UID,
        }
    )


def answer(cid: str, value: object) -> bytes:
    if t.A5:
        return frame({"return": value, "cid": cid})
    return frame({"msg_type": "Return", "cid": cid, "pld": value})


def error() -> bytes:
    if t.A5:
        return frame({"error": {"tb_str": "Oh: no", "type_str": "Oh"}})
    return frame(
        {
            "msg_type": "Error",
            "src_uid": UID,
            "src_type_str": "Oh",
            "boxed_type_str": "Oh",
            "relay_path": [],
        }
    )


HELLO = hello()
FARES = {
    "http": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "ff": b"\xff" * 64,
    "half a header": b"\x05\x00",
    "half a hello": HELLO[:-3],
    "no hello": frame(5),
    "an empty hello": frame([] if t.A5 else {}),
    "no msgpack": framed(b"\xc1\xc1\xc1"),
    "no message": HELLO + frame(5),
    "no msgpack later": HELLO + framed(b"\xc1\xc1\xc1"),
    "too deep": HELLO
    + call("self", "wait_actor", {"x": msgspec.Raw(b"\x91" * 100_000 + b"\x90")}),
    "an empty message": HELLO + frame({}),
    "half a message": HELLO + b"\x00\x01\x00\x00half",
    "half a command": HELLO
    + frame({"cmd": [1, 2]} if t.A5 else {"msg_type": "Start", "cid": "c"}),
    "no such command": HELLO + call("self", "nosuch", {}),
    "no command": HELLO + call("self", "uid", {}),
    "no arguments": HELLO + call("self", "wait_actor", 5),
    "wrong arguments": HELLO + call("tests.service.seam_eps", "hold", {"x": 1}),
    "an end of nothing": HELLO + call("self", "_cancel_task", {}),
    "an answer to nothing": HELLO + answer("c", 1),
    "an error": HELLO + error(),
}
#: Of these no end is awaited: they announce a message longer than any.
ENDLESS = ("http", "ff")
