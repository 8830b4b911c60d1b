"""Bars on disk: a parquet file a market, period and month, a tail for the newest."""

from ._admin import (
    StoreInfo as StoreInfo,
    delete as delete,
    finish_deletions as finish_deletions,
    list_stores as list_stores,
    nothing_stored as nothing_stored,
    repair as repair,
    stored_span as stored_span,
    verify as verify,
)
from ._foreign import (
    Imported as Imported,
    read_foreign as read_foreign,
    write_foreign as write_foreign,
)
from ._layout import (
    bars_folder as bars_folder,
    store_root as store_root,
    stored_folders as stored_folders,
)
from ._reader import (
    BarColumns as BarColumns,
    StoredBars as StoredBars,
    read_bars as read_bars,
    read_tail as read_tail,
)
from ._writer import StoreWriter as StoreWriter
