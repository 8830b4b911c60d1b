"""What IB's codes mean for an order that they are about.

By https://interactivebrokers.github.io/tws-api/message_codes.html and
https://www.interactivebrokers.com/campus/ibkr-api-page/tws-api-error-codes/.
A code that isn't here is a refusal: it comes with the number of the order, and isn't
known to be a mere notice.
"""

from __future__ import annotations

from typing import Final

from piker.brokers._live._venue import NotSent, OrderGone, OrderRejected, Unsure
from piker.brokers._payload import one_line
from piker.errors import VenueError

#: It is told, and the order goes on: 399 of when it counts, 404 of shares to be
#: located, 2109 and 10349 of an attribute that was set otherwise, and all of 21xx.
_NOTICES: Final = frozenset({165, 399, 404, 10167, 10349})
_WARNINGS: Final = range(2100, 2200)
#: What was to be changed or ended isn't there, or is over.
_GONE: Final = frozenset({
    104,  # can't modify a filled order
    135,  # can't find order with that id
    136,  # this order can't be cancelled
    161,  # cancel attempted when the order is not in a cancellable state
    10147,  # the order to be cancelled is not found
    10148,  # it can't be cancelled, state: ...
})  # fmt: skip
#: Whoever asked, or how often: nothing was done about the order.
_NOT_SENT: Final = frozenset({
    100,  # max rate of messages
    106,  # can't transmit order id
    107,  # can't transmit an incomplete order
})  # fmt: skip
#: The id is in use: it may be ours, sent twice. And what is wrong with the gateway, or
#: with its line, in the middle of a request.
_UNSURE: Final = frozenset({
    103,
    322,  # error when processing a request
    501, 502, 503, 504, 505, 506, 507, 510, 511, 512, 513,
    1100, 2110,
})  # fmt: skip
#: The order is over, by its own cancel or by another's hand.
CANCELLED: Final = 202
NOT_CANCELLABLE: Final = 161
READ_ONLY: Final = 321
_READ_ONLY_WORDS: Final = "read-only"
#: Answers to a cancel only: of an order that is being placed they are another's.
OF_CANCELS: Final = frozenset({136, 161, 10147, 10148})


def is_notice(code: int) -> bool:
    """Tell whether an order goes on as it was after IB has told this of it."""
    return code in _NOTICES or code in _WARNINGS


def is_read_only(code: int, text: str) -> bool:
    """Tell whether it says that the gateway takes no orders from programs."""
    return code == READ_ONLY and _READ_ONLY_WORDS in text.lower()


def error_of(code: int, text: str) -> VenueError:
    """Return what a code, of a request about an order, means."""
    words = f"ib: {one_line(text) or 'it says no more'} (code {code})"
    if is_read_only(code, text):
        return NotSent(f"{words}: {READ_ONLY_CURE}")
    if code in _GONE:
        return OrderGone(words)
    if code in _NOT_SENT:
        return NotSent(words)
    if code in _UNSURE:
        return Unsure(words)
    return OrderRejected(words)


READ_ONLY_CURE: Final = (
    "untick 'Read-Only API' in the gateway's settings (API, Settings), so that programs"
    " may send orders"
)
