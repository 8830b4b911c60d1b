"""The chart in a terminal: Textual draws, trio works as its guest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from piker.errors import UsageError
from piker.service import Addr
from piker.ui._theme import ThemeName


def run_tui(
    addr: Addr | None,
    fqmes: Sequence[str],
    mode: Literal["paper", "live"] = "paper",
    period_s: int = 60,
    indicators: Sequence[str] = (),
    theme_name: ThemeName = "dark",
) -> None:
    """Show markets in this terminal, see :func:`piker.ui._tui._run.run_tui`.

    Raises UsageError too where Textual isn't installed.
    """
    try:
        import textual
    except ModuleNotFoundError:
        raise UsageError(
            "a chart in a terminal wants Textual: pip install 'piker[tui]'"
        ) from None
    del textual

    from ._run import run_tui as run

    run(addr, fqmes, mode, period_s, indicators, theme_name)
