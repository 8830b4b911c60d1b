"""Appends trades one after the other until it is killed; says which are booked."""

from __future__ import annotations

import sys
from decimal import Decimal

from piker.accounting import Transaction, open_ledger

with open_ledger("sim", "paper") as ledger:
    number = ledger.seq
    while True:
        number += 1
        # Of odd lengths, so that it is killed amid all kinds of writes.
        ledger.append(
            Transaction(
                tid=f"t{number}",
                fqme="btcusdt.spot.sim",
                size=Decimal(number % 7 - 3 or 5),
                price=Decimal(100 + number % 13),
                time_ns=number * 10**9,
                oid="o" * (number % 50),
            )
        )
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
