"""What a tree's actors know of their tree: variables inherited down the spawn tree.

``piker_vars`` travels in tractor's runtime variables; a child has them only once its
runtime is up, so they are read when used, never at import.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any

from piker.errors import Unauthorised

from ._engine import engine

KEY = "piker_vars"


def piker_vars() -> dict[str, Any]:
    """Return this actor's inherited variables; changes reach later children."""
    return engine.runtime_vars().setdefault(KEY, {})


def write_cookie(path: Path) -> None:
    """Make the tree's secret: a file only this user can read, new at each start."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temp = path.with_name(f"{path.name}.{os.getpid()}.new")
    temp.unlink(missing_ok=True)
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, os.urandom(32).hex().encode())
    finally:
        os.close(fd)
    temp.replace(path)


def own_cookie() -> str:
    """Return the cookie this process shows, empty if it has none.

    Read at each call: a client that outlives its pikerd shows the next one's.
    """
    place = piker_vars().get("cookie")
    try:
        return Path(place).read_text(encoding="ascii") if place else ""
    except OSError:
        return ""


_expected = ""


def check_cookie(shown: str) -> None:
    """Raise Unauthorised unless *shown* is the tree's cookie."""
    global _expected  # noqa: PLW0603 - a tree's secret is one for its life
    if piker_vars().get("embedded"):
        expected = own_cookie()  # this process may run one tree after another
    else:
        expected = _expected = _expected or own_cookie()
    if not expected or not hmac.compare_digest(shown, expected):
        raise Unauthorised(
            "the caller did not show this tree's cookie: it runs as another user, or "
            "with another runtime directory (PIKER_RUNTIME_DIR)"
        )
