"""The chart client: windows or a terminal that look at markets and trade.

An ordinary client of the tree. Nothing here is imported with a toolkit: `run_chart` and
`run_tui` import theirs.
"""

from ._annot_ctl import AnnotCtl as AnnotCtl, open_annot_ctl as open_annot_ctl
from ._annots import MOST_RECTS as MOST_RECTS
from ._indicator_modules import load_indicators as load_indicators
from ._screen import check_screen as check_screen
from ._theme import ThemeName as ThemeName
from ._wanted import (
    Picture as Picture,
    Wanted as Wanted,
    layout_for as layout_for,
    period_of as period_of,
)
