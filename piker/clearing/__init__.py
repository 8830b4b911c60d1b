"""Orders: what may leave, what waits in the dark, and when it is sent."""

"""What becomes of orders: clearing them on paper, to begin with."""

from ._match import PaperMarket as PaperMarket
from ._paper_rules import PaperRules as PaperRules, paper_rules as paper_rules
