"""Commands: composition only. This file is all that runs before one is chosen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from piker.process import be_starting, leave

#: When this program began to run, by the monotonic clock.
STARTED_S: Final = time.monotonic()


def main() -> None:
    """Be the ``piker`` command."""

    def load() -> Callable[[], Any]:
        from ._app import app

        return app

    _be(load)


def pikerd_main() -> None:
    """Be the ``pikerd`` command."""

    def load() -> Callable[[], Any]:
        from .pikerd import main

        return main

    _be(load)


def ledger_main() -> None:
    """Be the ``ledger`` command: what ``piker ledger`` is."""

    def load() -> Callable[[], Any]:
        from ._app import app

        return partial(app, ["ledger", *sys.argv[1:]], prog_name="piker")

    _be(load)


def _be(load: Callable[[], Callable[[], Any]]) -> None:
    """Run what *load* returns, and end with its exit code.

    With 130 on a Ctrl-C that comes before a command is chosen, or after it.
    """
    be_starting()
    try:
        load()()
    except KeyboardInterrupt:
        leave(130)
    except SystemExit as end:
        leave(end.code)
    leave(0)
