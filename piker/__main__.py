"""``python -m piker``: the ``piker`` command."""

from __future__ import annotations

from piker.cli import main

if __name__ == "__main__":
    main()
