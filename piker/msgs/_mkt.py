"""Assets and markets: what is traded, and in what steps.

Money and sizes are decimals; on the wire they are strings. Steps are counted in
whole ticks, with integers, so no result depends on a precision set elsewhere.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from typing import Literal

from piker.errors import UsageError
from piker.types import Struct

from ._fqme import Fqme

# Up to here an error of three roundings stays far below a thousandth of a tick.
_FAST_TICKS = 2.0**40
_MAX_DIGITS = 330  # a double has no more; beyond it integers grow without use
_MAX_STEP_DIGITS = 300  # so that a step and its inverse are doubles

AssetType = Literal[
    "stock", "bond", "crypto", "fiat", "commodity", "perpetual_future",
    "crypto_future", "swap", "future", "continuous_future", "option",
    "futures_option", "index", "cfd", "mutual_fund", "warrant", "bag", "unknown",
]  # fmt: skip


class Asset(Struct, frozen=True, kw_only=True):
    """Something that can be held.

    Attributes:
      name: lower case, e.g. ``btc``.
      atype: its kind.
      tx_tick: smallest amount that can be moved.
    """

    name: str
    atype: AssetType = "unknown"
    tx_tick: Decimal = Decimal("0.01")

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.lower():
            raise ValueError(f"an asset's name is lower case, got {self.name!r}")
        _check_step("tx_tick", self.tx_tick)


class PriceStep(Struct, frozen=True, kw_only=True):
    """A coarser step of prices, from some price on.

    Attributes:
      at_least: the lowest price that has it, quote units; a multiple of *tick*.
      tick: the step, quote units; a multiple of the market's `MktPair.price_tick`.
    """

    at_least: Decimal
    tick: Decimal


class MktPair(Struct, frozen=True, kw_only=True, dict=True):
    """A market: *dst* is bought and sold for *src* at one venue of one broker.

    ValueError if a step or a limit is not positive, BadFqme if the parts make no name.

    Attributes:
      dst: what is traded.
      src: what it is paid with; ``None`` where the name leaves it out (stocks,
        futures).
      price_tick: step of prices, in quote units; the finest, where some are coarser.
      size_tick: step of sizes, in base units.
      bs_mktid: the backend's own symbol, as its venue spells it.
      broker: backend name, lower case.
      venue: e.g. ``spot``, ``usdtm``, ``cme``; may be empty.
      expiry: ``yyyymmdd``, ``perp`` or empty.
      contract_info: further parts of the name, e.g. an option's strike ``200c``.
      multiplier: base units a contract of size 1 stands for.
      atype: kind of the market itself; *dst*'s kind unless it is a derivative.
      size_min, size_max: of one order at the venue, base units; 0 where it sets none.
      cost_min: least size times price of one order, quote units; 0 likewise.
      settle: the asset in which profits and fees are paid, where that isn't *src*.
      price_steps: coarser steps of prices, ascending; of most markets there are none.
    """

    dst: Asset
    src: Asset | None = None
    price_tick: Decimal
    size_tick: Decimal
    bs_mktid: str
    broker: str
    venue: str = ""
    expiry: str = ""
    contract_info: tuple[str, ...] = ()
    multiplier: Decimal = Decimal(1)
    atype: AssetType = "unknown"
    size_min: Decimal = Decimal(0)
    size_max: Decimal = Decimal(0)
    cost_min: Decimal = Decimal(0)
    settle: str = ""
    price_steps: tuple[PriceStep, ...] = ()

    def __post_init__(self) -> None:
        _check_step("price_tick", self.price_tick)
        _check_step("size_tick", self.size_tick)
        _check_step("multiplier", self.multiplier)
        for name in ("size_min", "size_max", "cost_min"):
            if limit := getattr(self, name):
                _check_step(name, limit)
        _check_steps(self.price_tick, self.price_steps)
        _ = self.name

    @cached_property
    def name(self) -> Fqme:
        """The parsed full name."""
        pair = self.dst.name + (self.src.name if self.src else "")
        return Fqme(
            pair=pair,
            venue=self.venue,
            expiry=self.expiry,
            info=self.contract_info,
            broker=self.broker,
        )

    @cached_property
    def fqme(self) -> str:
        """The full name, e.g. ``btcusdt.spot.binance``."""
        return str(self.name)

    @cached_property
    def bs_fqme(self) -> str:
        """The full name without the broker, e.g. ``btcusdt.spot``."""
        return self.name.bs_fqme

    @property
    def is_inverse(self) -> bool:
        """Whether sizes count quote units, and profits are paid in *dst*.

        A size ``s`` bought at ``p`` and sold at ``q`` earns ``s / p - s / q`` of *dst*.
        """
        return self.src is not None and self.settle == self.dst.name

    @property
    def paid_in(self) -> str:
        """The asset in which profits and fees are paid; empty if the name hides it."""
        return self.settle or (self.src.name if self.src is not None else "")

    def worth(self, size: Decimal, price: Decimal) -> Fraction:
        """Return what a size is worth at a price, quote units, signed as the size."""
        units = Fraction(size) * Fraction(self.multiplier)
        return units if self.is_inverse else units * Fraction(price)

    def profit(self, size: Decimal, entry: Fraction, price: Fraction) -> Fraction:
        """Return what a size that was got at *entry* earns at *price*, of `paid_in`.

        Args:
          size: < 0 of a short.
          entry, price: quote units, > 0 of an inverse market.
        """
        units = Fraction(size) * Fraction(self.multiplier)
        if self.is_inverse:
            return units * (1 / entry - 1 / price)
        return units * (price - entry)

    @cached_property
    def price_digits(self) -> int:
        """Decimals that write every price: 2 for a tick of 0.25, 0 for 5."""
        return max(0, -_split(self.price_tick)[1])

    @cached_property
    def size_digits(self) -> int:
        """Decimals that write every size."""
        return max(0, -_split(self.size_tick)[1])

    def step_at(self, price: Decimal) -> Decimal:
        """Return of what an order's price there is a multiple, quote units.

        Args:
          price: quote units; its sign doesn't count.
        """
        step = self.price_tick
        for each in self.price_steps:
            if each.at_least <= abs(price):
                step = each.tick
        return step

    def order_price(self, price: Decimal | float | str) -> Decimal:
        """Return the price nearest to *price* that an order may have, half to even.

        Raises: UsageError: it is no finite number.
        """
        exact = self.quantize(price, "price")
        return _rounded(exact, self.step_at(exact))

    def quantize(
        self, value: Decimal | float | str, step: Literal["size", "price"] = "size"
    ) -> Decimal:
        """Return *value* rounded to the nearest multiple of the step, half to even.

        Args:
          value: a price or a size; a float counts as its shortest decimal.
          step: which of the two it is.

        Returns:
          the exact multiple, with `price_digits` or `size_digits` decimals.

        Raises:
          UsageError: *value* is no finite number.
        """
        tick = self.price_tick if step == "price" else self.size_tick
        return _rounded(_exact(value, step), tick)

    def to_size_ticks(self, size: float) -> int:
        """Return *size* as a whole number of size ticks, as `quantize` rounds it.

        The double nearest to ``n * size_tick`` gives ``n`` for every ``n`` up to 2**51,
        as it and its shortest decimal are each within half a unit in the last place;
        so sums of trades are exact as integers.
        Raises UsageError if *size* is no finite number.
        """
        scaled = size * self._ticks_a_unit
        if -_FAST_TICKS < scaled < _FAST_TICKS:
            nearest = round(scaled)
            # Near the middle of two ticks only the decimal says which is nearer.
            if -0.499 < scaled - nearest < 0.499:
                return nearest
        return _nearest_ticks(_exact(size, "size"), self.size_tick)

    def from_size_ticks(self, ticks: int) -> float:
        """Return the double nearest to the decimal ``ticks * size_tick``.

        Raises OverflowError where no double is as large.
        """
        up, down = self._size_ratio
        return ticks * up / down  # python divides integers with one, right, rounding

    @cached_property
    def _size_ratio(self) -> tuple[int, int]:
        return self.size_tick.as_integer_ratio()

    @cached_property
    def _ticks_a_unit(self) -> float:
        """Ticks in one unit of size, to the nearest double."""
        up, down = self._size_ratio
        return down / up


def _check_step(name: str, step: Decimal) -> None:
    if not step.is_finite() or step <= 0 or abs(step.adjusted()) > _MAX_STEP_DIGITS:
        raise ValueError(f"{name} must be a number > 0, got {str(step)!r}")


def _check_steps(tick: Decimal, steps: tuple[PriceStep, ...]) -> None:
    """Raise ValueError unless each step is a part of the next one, and of its start."""
    at_least = Decimal(0)
    for each in steps:
        _check_step("price_steps", each.tick)
        at, finer, coarser = map(Fraction, (each.at_least, tick, each.tick))
        if each.at_least <= at_least or coarser % finer or at % coarser:
            raise ValueError(
                "price_steps must ascend, each a multiple of the one before it that"
                f" divides its own start, got {each.tick} from {each.at_least} on"
                f" after {tick}"
            )
        at_least, tick = each.at_least, each.tick


def _rounded(exact: Decimal, tick: Decimal) -> Decimal:
    """Return the multiple of *tick* nearest to *exact*, half to even."""
    coefficient, exponent = _split(tick)
    units = _nearest_ticks(exact, tick) * coefficient
    # The constructor is exact; arithmetic would round to the thread's precision.
    if exponent > 0:
        return Decimal(units * 10**exponent)
    return Decimal(f"{units}E{exponent}")


def _split(step: Decimal) -> tuple[int, int]:
    """Return *step* as (coefficient, exponent of ten), with no zeros at its end."""
    _, digits, exponent = step.as_tuple()
    assert isinstance(exponent, int), "steps are finite"
    text = "".join(map(str, digits))
    bare = text.rstrip("0")
    return int(bare), exponent + len(text) - len(bare)


def _exact(value: Decimal | float | str, step: str) -> Decimal:
    """Return *value* as a decimal; raises UsageError if it is no finite number."""
    try:
        # Not repr(): a numpy float's names its type.
        text = float.__repr__(value) if isinstance(value, float) else value
        exact = Decimal(text)
    except InvalidOperation:
        exact = Decimal("nan")
    if not exact.is_finite():
        raise UsageError(f"a {step} must be a finite number, got {str(value)!r}")
    if exact and abs(exact.adjusted()) > _MAX_DIGITS:
        raise UsageError(f"a {step} of {str(value)!r} is out of range")
    return exact


def _nearest_ticks(exact: Decimal, tick: Decimal) -> int:
    """Return *exact* / *tick* as the nearest integer, half to even."""
    value_up, value_down = exact.as_integer_ratio()
    tick_up, tick_down = tick.as_integer_ratio()
    whole, rest = divmod(value_up * tick_down, down := value_down * tick_up)
    if 2 * rest > down or (2 * rest == down and whole % 2):
        whole += 1
    return whole
