"""Orders: what may leave, what waits in the dark, and when it is sent."""

"""What becomes of orders: clearing them on paper, to begin with."""

from ._match import PaperMarket as PaperMarket
from ._paper import (
    maybe_spawn_paperboi as maybe_spawn_paperboi,
    paperboi_init as paperboi_init,
    spawn_paperboi as spawn_paperboi,
)
from ._paper_rpc import open_paper_dialog as open_paper_dialog
from ._paper_rules import PaperRules as PaperRules, paper_rules as paper_rules
