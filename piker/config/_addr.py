"""Addresses as users write them: ``HOST:PORT``."""

from __future__ import annotations

import ipaddress
import re

from piker.errors import UsageError

_ADDR = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<host>[^:\[\]]+)):(?P<port>[0-9]{1,5})")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_MAX_PORT = 65_535


def parse_addr(text: str) -> tuple[str, int]:
    """Return *text*, ``HOST:PORT``, as (host, port).

    The host is an IP address or a name; one of IPv6 stands in brackets, which are
    not returned: ``[::1]:6116``. Raises UsageError.
    """
    match = _ADDR.fullmatch(text)
    if match is None:
        raise UsageError(
            f"an address is HOST:PORT, got {text!r}: write it like 127.0.0.1:6116"
        )
    host = match["v6"] or match["host"]
    if not (_is_ip(host, 6) if match["v6"] else _is_host(host)):
        raise UsageError(
            f"{host!r} in {text!r} is neither an IP address nor a host name"
        )
    port = int(match["port"])
    if not 1 <= port <= _MAX_PORT:
        raise UsageError(f"port {port} in {text!r} is not one of 1..{_MAX_PORT}")
    return host, port


def show_addr(addr: tuple[str, int]) -> str:
    """Return (host, port) as :func:`parse_addr` takes it."""
    host, port = addr
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_host(host: str) -> bool:
    # A name whose last label is a number would be taken for an address by resolvers.
    if host.rpartition(".")[2].isdigit():
        return _is_ip(host, 4)
    return _NAME.fullmatch(host) is not None


def _is_ip(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False
