"""Whether there is a screen; asked before Qt is, which would abort."""

from __future__ import annotations

import os
import re
import socket
import sys
from contextlib import suppress
from typing import Final

from piker.errors import UsageError

#: ``:N`` or ``unix:N``, a display of this machine; others are reached over the network.
_LOCAL: Final = re.compile(r"(?:unix)?:(\d+)(?:\.\d+)?")
_INSTEAD: Final = (
    "`piker chart --tui` shows it in the terminal, --snapshot writes a picture"
)


def check_screen() -> None:
    """Raise UsageError if there is no display, and none was asked for either."""
    if sys.platform != "linux" or os.environ.get("QT_QPA_PLATFORM"):
        return
    display = os.environ.get("DISPLAY", "")
    if os.environ.get("WAYLAND_DISPLAY"):
        return
    if not display:
        raise UsageError(
            "a chart wants a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set:"
            f" {_INSTEAD}"
        )
    if not _answers(display):
        raise UsageError(
            f"a chart wants a screen, and none answers at DISPLAY {display!r}:"
            f" {_INSTEAD}"
        )


def _answers(display: str) -> bool:
    """Tell whether a display can be connected to; True where only Qt can tell."""
    found = _LOCAL.fullmatch(display)
    if found is None:
        return True
    path = f"/tmp/.X11-unix/X{found[1]}"  # noqa: S108 - where X servers listen
    for address in (path, f"\0{path}"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(2.0)
            sock.connect(address)
            return True
    return False
