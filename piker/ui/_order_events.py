"""What order mode is told, and what it wants done: the values of :mod:`._order_mode`.

keys, mouse, menus --Event--> order mode --Intent--> the order client, the window
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from piker.msgs import Action, Order

from ._keys import Key

# -- events --------------------------------------------------------------------------


@dataclass(frozen=True)
class Pressed:
    """A key of the table went down, or its entry in a menu was taken.

    Attributes:
      key: which.
      time_s: when, monotonic seconds.
      is_repeat: the keyboard repeats it, as it is held.
    """

    key: Key
    time_s: float
    is_repeat: bool = False


@dataclass(frozen=True)
class Released:
    """A key came up, whatever modifiers were held then."""

    combo: str


@dataclass(frozen=True)
class Chosen:
    """A button or menu staged something until it is submitted; None takes it back."""

    action: Action | None
    is_live: bool = False


@dataclass(frozen=True)
class CursorMoved:
    """The cursor is at a price, quote units; None: it left the prices."""

    price: Decimal | float | None


@dataclass(frozen=True)
class Clicked:
    """The left button was pressed and released, where the cursor is."""


@dataclass(frozen=True)
class DragBegun:
    """An order's line was taken."""

    oid: str


@dataclass(frozen=True)
class DragMoved:
    """It is held at a price, quote units."""

    price: Decimal | float | None


@dataclass(frozen=True)
class DragEnded:
    """It was let go."""


@dataclass(frozen=True)
class Escaped:
    """All that is staged, dragged or asked is to be forgotten."""


@dataclass(frozen=True)
class FocusLost:
    """Keys go elsewhere from now on, their releases too."""


@dataclass(frozen=True)
class Confirmed:
    """What was asked by an `AskLive` is answered."""

    is_yes: bool


Event = (
    Pressed
    | Released
    | Chosen
    | CursorMoved
    | Clicked
    | DragBegun
    | DragMoved
    | DragEnded
    | Escaped
    | FocusLost
    | Confirmed
)

# -- intents -------------------------------------------------------------------------


@dataclass(frozen=True)
class Submit:
    """Send a new order."""

    order: Order


@dataclass(frozen=True)
class ChangePrice:
    """Edit an order; what is None stays.

    Attributes:
      oid: of the order.
      price: new limit, quote units.
      trigger: new trigger, where it has one of its own.
      size: new whole size, base units.
    """

    oid: str
    price: Decimal | None = None
    trigger: Decimal | None = None
    size: Decimal | None = None


@dataclass(frozen=True)
class CancelOrders:
    """Cancel some orders."""

    oids: tuple[str, ...]


@dataclass(frozen=True)
class CancelAll:
    """Cancel all orders of the chart's market: those it showed."""

    oids: tuple[str, ...]


@dataclass(frozen=True)
class AskLive:
    """Ask whether something may be done with real money; a `Confirmed` answers."""

    text: str


@dataclass(frozen=True)
class SetSlots:
    """Set the order pane's number of slots."""

    slots: int


@dataclass(frozen=True)
class Halt:
    """Halt trading."""


@dataclass(frozen=True)
class Say:
    """Tell why nothing happened, or what is to be done next; one sentence."""

    text: str


Intent = (
    Submit | ChangePrice | CancelOrders | CancelAll | AskLive | SetSlots | Halt | Say
)
