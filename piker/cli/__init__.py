"""Commands: composition only. This file is all that runs before one is chosen."""

from __future__ import annotations

import time
from typing import Final

#: When this program began to run, by the monotonic clock.
STARTED_S: Final = time.monotonic()


def main() -> None:
    """Be the ``piker`` command."""
    from ._app import app

    app()


def pikerd_main() -> None:
    """Be the ``pikerd`` command."""
    from .pikerd import main as run

    run()
