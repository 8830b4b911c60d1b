"""What is traded and what it is called; what was traded, and what that comes to."""

from piker.msgs import (
    Asset as Asset,
    AssetType as AssetType,
    Fqme as Fqme,
    MktPair as MktPair,
)

from ._position import Position as Position, positions_of as positions_of
from ._transaction import (
    EventType as EventType,
    Transaction as Transaction,
    of_fill as of_fill,
    to_fill as to_fill,
)
