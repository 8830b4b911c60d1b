"""Commands: composition only. This file is all that runs before one is chosen."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: When this program began to run, by the monotonic clock.
STARTED_S: Final = time.monotonic()


def main() -> None:
    """Be the ``piker`` command."""
    with _quiet_ctrl_c():
        from ._app import app

        app()


def pikerd_main() -> None:
    """Be the ``pikerd`` command."""
    with _quiet_ctrl_c():
        from .pikerd import main as run

        run()


def ledger_main() -> None:
    """Be the ``ledger`` command: what ``piker ledger`` is."""
    with _quiet_ctrl_c():
        from ._app import app

        app(["ledger", *sys.argv[1:]], prog_name="piker")


@contextmanager
def _quiet_ctrl_c() -> Iterator[None]:
    """End with 130 on a Ctrl-C that comes before a command is chosen, or after it."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)
