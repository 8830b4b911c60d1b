"""Commands: composition only. This file is all that runs before one is chosen."""

from __future__ import annotations

import sys
import time
from typing import Final

from piker.process import light_run

#: When this program began to run, by the monotonic clock.
STARTED_S: Final = time.monotonic()


def main() -> None:
    """Be the ``piker`` command."""
    with light_run():
        from ._app import command

        command()()


def pikerd_main() -> None:
    """Be the ``pikerd`` command."""
    with light_run():
        from .pikerd import main as run

        run()


def ledger_main() -> None:
    """Be the ``ledger`` command: what ``piker ledger`` is."""
    with light_run():
        from ._app import command

        command()(["ledger", *sys.argv[1:]], prog_name="piker")
