"""Typed payloads: what an endpoint sends is encoded once and decoded by its type.

Values travel inside tractor's messages as msgpack bytes of our own, so a consumer
gets structs and a producer with many consumers encodes once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from piker.errors import RemoteFailure


def _plain(value: Any) -> Any:
    """Encode what msgspec doesn't know: numpy scalars as the python value they are."""
    item = getattr(value, "item", None)
    if item is not None and type(value).__module__ == "numpy" and not value.shape:
        return item()
    raise TypeError(f"can't send a {type(value).__name__}: {value!r}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)


def encode(value: Any) -> bytes:
    """Return *value* as bytes; ``TypeError`` names what can't be sent."""
    return _encoder.encode(value)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


def decode(raw: bytes, kind: Any) -> Any:
    """Return the value in *raw* as a *kind*; RemoteFailure if it is something else."""
    try:
        return _decoder(kind).decode(raw)
    except (msgspec.DecodeError, TypeError) as err:
        raise RemoteFailure(
            f"the far end sent what is not a {kind!r}: {err}; do both sides run the "
            "same version of piker?"
        ) from None


def to_builtins(value: Any) -> Any:
    """Return *value* as what tractor can carry in a request's arguments."""
    return msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
