"""Names of what clients of a TWS ask for, for counters."""

from __future__ import annotations

from typing import Final

#: What published clients call the requests, by number.
NAMES: Final = {
    1: "reqMktData", 2: "cancelMktData", 3: "placeOrder", 4: "cancelOrder",
    5: "reqOpenOrders", 6: "reqAccountUpdates", 7: "reqExecutions", 8: "reqIds",
    9: "reqContractDetails", 15: "reqAutoOpenOrders", 16: "reqAllOpenOrders",
    17: "reqManagedAccts", 20: "reqHistoricalData", 25: "cancelHistoricalData",
    49: "reqCurrentTime", 58: "reqGlobalCancel", 59: "reqMarketDataType",
    61: "reqPositions", 62: "reqAccountSummary", 63: "cancelAccountSummary",
    64: "cancelPositions", 74: "reqPositionsMulti", 75: "cancelPositionsMulti",
    76: "reqAccountUpdatesMulti", 77: "cancelAccountUpdatesMulti",
    78: "reqSecDefOptParams", 81: "reqMatchingSymbols", 87: "reqHeadTimestamp",
    90: "cancelHeadTimestamp", 91: "reqMarketRule", 96: "reqHistoricalTicks",
    97: "reqTickByTickData", 98: "cancelTickByTickData", 99: "reqCompletedOrders",
}  # fmt: skip
