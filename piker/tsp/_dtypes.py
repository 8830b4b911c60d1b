"""The one dtype of bars."""

from __future__ import annotations

from typing import Final

import numpy as np

#: A bar: ``time`` is the epoch second (UTC) of its open, prices are in quote units,
#: ``volume`` in base units, ``count`` is the number of trades (0 in an empty bar).
OHLCV: Final = np.dtype(
    [
        ("time", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("count", "i8"),
    ]
)
