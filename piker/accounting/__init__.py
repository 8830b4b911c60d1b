"""What is traded and what it is called; what was traded, and what that comes to."""

from piker.msgs import (
    Asset as Asset,
    AssetType as AssetType,
    Fqme as Fqme,
    MktPair as MktPair,
)

from ._account import read_account as read_account, write_account as write_account
from ._audit import Audit as Audit, audit as audit
from ._exact import shown as shown
from ._foreign import ImportedTrades as ImportedTrades, read_trades as read_trades
from ._ledger import (
    Ledger as Ledger,
    LedgerView as LedgerView,
    booked_elsewhere as booked_elsewhere,
    open_ledger as open_ledger,
    read_ledger as read_ledger,
)
from ._places import (
    AccountName as AccountName,
    accounting_dir as accounting_dir,
    ledgers_dir as ledgers_dir,
    list_accounts as list_accounts,
)
from ._position import (
    Position as Position,
    position_for as position_for,
    positions_of as positions_of,
)
from ._transaction import (
    EventType as EventType,
    Transaction as Transaction,
    of_fill as of_fill,
    to_fill as to_fill,
)
