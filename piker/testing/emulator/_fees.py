"""What trades cost at an emulated venue, and in which asset that is paid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

#: Of fees as they are booked, so that balances have no more digits than are shown.
_STEP: Final = Decimal("1e-8")


@dataclass
class Fees:
    """What trades cost.

    Attributes:
      maker, taker: rates.
      in_received: paid in what one gets, else in quote units.
      asset: paid in this one instead, if it isn't empty.
      worth: quote units of one of *asset*.
    """

    maker: Decimal = Decimal("0.001")
    taker: Decimal = Decimal("0.001")
    in_received: bool = True
    asset: str = ""
    worth: Decimal = Decimal(1)

    def of(
        self,
        assets: tuple[str, str],
        side: Literal["buy", "sell"],
        price: Decimal,
        size: Decimal,
        *,
        is_maker: bool,
    ) -> tuple[Decimal, str]:
        """Return what a trade costs, and in which asset.

        Args:
          assets: base and quote.
          side: which way.
          price: of the trade.
          size: likewise.
          is_maker: whether the order rested.
        """
        rate = self.maker if is_maker else self.taker
        base, quote = assets
        if self.asset:
            fee, asset = size * price * rate / self.worth, self.asset
        elif self.in_received and side == "buy":
            fee, asset = size * rate, base
        else:
            fee, asset = size * price * rate, quote
        return fee.quantize(_STEP), asset
