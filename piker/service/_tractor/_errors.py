"""Errors across processes: ours come back as what they were, others as one class.

tractor ships an error as its class name and its traceback as text. Each of our
errors has one line of text, so the last line of that traceback says it all.
"""

from __future__ import annotations

import errno
import re

import trio
from tractor import ContextCancelled, RemoteActorError

from piker.errors import PikerError, RemoteFailure, TransportClosed, error_types

from ._trionics import leaves
from ._version import A5

if A5:
    from tractor._exceptions import TransportClosed as _TractorClosed
else:
    from tractor import TransportClosed as _TractorClosed

#: What a dead connection raises, in either version, wherever it is noticed.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (
    _TractorClosed,
    TransportClosed,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    ConnectionError,
)


def is_of_listener(err: BaseException) -> bool:
    """Tell whether *err* is of who listens at an address, and not the one wanted."""
    if isinstance(err, OSError) and err.errno == errno.EADDRINUSE:
        return True
    return isinstance(err, TRANSPORT_ERRORS)


def causes(err: BaseException) -> list[BaseException]:
    """Return what *err* comes of: trio wraps what the kernel said, of each address."""
    while err.__cause__ is not None:
        err = err.__cause__
    return leaves(err)


def is_refused(err: BaseException) -> bool:
    """Tell whether nobody listens at an address, as *err* of a connect says."""
    return all(isinstance(each, ConnectionRefusedError) for each in causes(err))


_LAST_LINE = re.compile(r"^[\s|]*(?:[\w.]+\.)?(\w+): (.*)$")


class PeerGone(Exception):
    """The caller of an endpoint is gone; tractor's runtime swallows this one."""


def _type_and_text(err: RemoteActorError) -> tuple[str, str]:
    data = err.msgdata if isinstance(err.msgdata, dict) else {}
    name = data.get("type_str") or getattr(err, "boxed_type_str", "") or ""
    trace = data.get("tb_str") or getattr(err, "tb_str", "") or str(err)
    for line in reversed(trace.strip().splitlines()):
        found = _LAST_LINE.match(line)
        if found and (not name or found[1] == name):
            return found[1], found[2].rstrip(" |")
    return name, trace.strip().splitlines()[-1] if trace.strip() else ""


def remote_traceback(err: BaseException) -> str:
    """Return the far end's traceback as text, empty if *err* carries none."""
    for leaf in leaves(err):
        notes: str | None = getattr(leaf, "remote_traceback", None)
        if notes:
            return notes
    return ""


def unbox(err: RemoteActorError, peer: str) -> PikerError:
    """Return the error of ours that *err* stands for.

    A cancel by somebody else than us reads as TransportClosed: the far end is on its
    way out, and what a caller does about it is the same.
    """
    name, text = _type_and_text(err)
    mapped: PikerError
    if isinstance(err, ContextCancelled):
        mapped = TransportClosed(f"{peer!r} cancelled the call")
    elif kind := error_types().get(name):
        mapped = kind(text)
    else:
        mapped = RemoteFailure(f"{peer!r} raised {name or 'an error'}: {text}")
    data = err.msgdata if isinstance(err.msgdata, dict) else {}
    mapped.remote_traceback = data.get("tb_str", "") or str(err)  # type: ignore[attr-defined]
    return mapped
