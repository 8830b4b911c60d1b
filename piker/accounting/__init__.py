"""What is traded and what it is called: markets, assets and their names."""

from piker.msgs import (
    Asset as Asset,
    AssetType as AssetType,
    Fqme as Fqme,
    MktPair as MktPair,
)
