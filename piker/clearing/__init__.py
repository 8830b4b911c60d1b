"""Orders: what may leave, what waits in the dark, where it goes, and what fills it."""

from piker.msgs import (
    BrokerdPosition as BrokerdPosition,
    Cancel as Cancel,
    Edit as Edit,
    EmsState as EmsState,
    Error as Error,
    Order as Order,
    Status as Status,
)

from ._client import (
    EmsDown as EmsDown,
    EmsUp as EmsUp,
    OrderClient as OrderClient,
    TradesMsg as TradesMsg,
    TradesStream as TradesStream,
    halt as halt,
    new_oid as new_oid,
    open_ems as open_ems,
    resume as resume,
)
from ._daemon import (
    emsd_init as emsd_init,
    maybe_open_emsd as maybe_open_emsd,
    maybe_spawn_emsd as maybe_spawn_emsd,
    spawn_emsd as spawn_emsd,
)
from ._ems import open_brokerd as open_brokerd, open_paper_line as open_paper_line
from ._farewell import (
    is_in_memory as is_in_memory,
    orders_left as orders_left,
)
from ._journal import (
    journal_path as journal_path,
    verify_journal as verify_journal,
)
from ._match import PaperMarket as PaperMarket
from ._paper import (
    maybe_spawn_paperboi as maybe_spawn_paperboi,
    paperboi_init as paperboi_init,
    spawn_paperboi as spawn_paperboi,
)
from ._paper_rpc import open_paper_dialog as open_paper_dialog
from ._paper_rules import PaperRules as PaperRules, paper_rules as paper_rules
