"""``python -m tests.ui._tui_echo FILE``: a chart in this terminal that notes its keys.

Each key is written as a line, the way it comes out of the terminal's bytes, and does
nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from piker.ui._tui._app import ChartApp
from tests.ui._headless import model_of


class Echo(ChartApp):
    """Notes keys."""

    def on_mount(self) -> None:
        super().on_mount()
        self.attach(model_of())

    def pressed(self, combo: str, text: str = "") -> None:
        with Path(sys.argv[1]).open("a", encoding="utf-8") as noted:
            noted.write(f"{combo}\n")


if __name__ == "__main__":
    Echo().run()
