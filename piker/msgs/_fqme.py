"""Full market names, lower case, dotted, the broker last.

One parser, one renderer; ``str(Fqme.parse(text)) == text`` for every name accepted.

======================================= =========================================
``xbteur.kraken``                       short: the backend fills in the venue
``btcusdt.spot.binance``                pair, venue
``btcusdt.usdtm.perp.binance``          pair, venue, expiry
``mnq.cme.20261218.ib``                 pair, venue, expiry
``tsla.20270115.200c.cboe.ib``          an option: pair, expiry, strike, venue
``btcusdt.usdtm.perp.binance.sim``      a replay: what follows names the origin
======================================= =========================================

A part is made of ``a-z 0-9 _ -``, so that a name is also a file name. An expiry is
``perp`` or a date, ``yyyymmdd`` or ``yymmdd``. A strike is a decimal and ``c`` or
``p``; its point is written ``_``: ``12_5c`` is the call struck at 12.5.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Literal

from piker.errors import BadFqme
from piker.types import Struct

MAX_FQME_CHARS = 160  # leaves room for suffixes in file names, which end at 255

_FORM = "PAIR[.VENUE[.EXPIRY]].BROKER, e.g. btcusdt.spot.sim"
_EXPIRY_FORM = "write perp, yyyymmdd or yymmdd"
_STRIKE_FORM = "write it like 200c or 12_5p"
_WORD_FORM = "a letter, then letters, digits or '_'"
_ILLEGAL = re.compile(r"[^a-z0-9_.-]")
_PAIR = re.compile(r"[a-z0-9][a-z0-9_-]*")
_WORD = re.compile(r"[a-z][a-z0-9_-]*")
_BROKER = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"[0-9]+")
_DATE = re.compile(r"(?:[0-9]{2}){3,4}")
_STRIKE_LIKE = re.compile(r"[0-9]+(?:_[0-9]*)?[cp]")
_STRIKE = re.compile(r"(?:0|[1-9][0-9]*)(?:_[0-9]*[1-9])?[cp]")


class Fqme(Struct, frozen=True, kw_only=True):
    """A full market name, taken apart; ``str()`` puts it together again.

    Parts that no name could have are refused with BadFqme when it is made.

    Attributes:
      pair: what is traded, as one word: ``btcusdt``, ``mnq``.
      broker: the backend.
      venue: e.g. ``spot``, ``cme``; empty in a short name.
      expiry: ``perp``, ``yyyymmdd``, ``yymmdd`` or empty.
      info: further parts: an option's strike first (see `strike_part`), then where
        a replay comes from.
    """

    pair: str
    broker: str
    venue: str = ""
    expiry: str = ""
    info: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = _wrong_part(self) or _wrong_shape(self)
        if wrong:
            raise BadFqme(f"market name {str(self)!r} {wrong}")

    @classmethod
    def parse(cls, text: str) -> Fqme:
        """Take *text* apart; upper case is lowered. Raises BadFqme."""
        name = text.lower() if text.isascii() else text
        parts = name.split(".")
        wrong = _wrong_text(name, parts)
        if wrong:
            raise BadFqme(f"market name {text!r} {wrong}")
        fqme = _take_apart(parts)
        if str(fqme) != name:
            raise BadFqme(
                f"market name {text!r} has its parts out of order: write {fqme}"
            )
        return fqme

    @staticmethod
    def strike_part(price: Decimal, right: Literal["c", "p"]) -> str:
        """Return how a name spells a strike: ``Decimal("12.50"), "c"`` -> ``12_5c``."""
        if not price.is_finite() or price < 0 or right not in {"c", "p"}:
            raise BadFqme(
                f"a strike is a price >= 0 and c or p, got {str(price)!r} and {right!r}"
            )
        whole, _, rest = f"{price:f}".partition(".")
        rest = rest.rstrip("0")
        return f"{int(whole)}{'_' if rest else ''}{rest}{right}"

    @property
    def bs_fqme(self) -> str:
        """The name without its broker."""
        if self.strike:
            parts = (self.pair, self.expiry, self.strike, self.venue, *self.info[1:])
        else:
            parts = (self.pair, self.venue, self.expiry, *self.info)
        return ".".join(part for part in parts if part)

    @property
    def strike(self) -> str:
        """The strike of an option as the name spells it, else empty."""
        return (
            self.info[0] if self.info and _STRIKE_LIKE.fullmatch(self.info[0]) else ""
        )

    @property
    def strike_price(self) -> Decimal | None:
        """The strike of an option in quote units, else None."""
        return Decimal(self.strike[:-1].replace("_", ".")) if self.strike else None

    @property
    def right(self) -> str:
        """``c`` for a call, ``p`` for a put, else empty."""
        return self.strike[-1:]

    @property
    def expiry_date(self) -> date | None:
        """The day it expires, None for perpetuals and spot."""
        return _as_date(self.expiry)

    def __str__(self) -> str:
        return f"{self.bs_fqme}.{self.broker}"


def _take_apart(parts: list[str]) -> Fqme:
    """Sort *parts* by place and look; raises BadFqme where no sorting is right."""
    pair, *rest, broker = parts
    expiry = venue = ""
    strike: tuple[str, ...] = ()
    if rest and _is_expiry(rest[0]):
        expiry = rest.pop(0)
        if rest and _STRIKE_LIKE.fullmatch(rest[0]):
            strike = (rest.pop(0),)
    if rest:
        venue = rest.pop(0)
    if rest and not expiry and _is_expiry(rest[0]):
        expiry = rest.pop(0)
    info = (*strike, *rest)
    return Fqme(pair=pair, venue=venue, expiry=expiry, info=info, broker=broker)


def _wrong_text(name: str, parts: list[str]) -> str:
    """Say what is wrong with a lower-case *name* before it is taken apart."""
    illegal = _ILLEGAL.search(name)
    if illegal:
        return (
            f"has an illegal character {illegal[0]!r}: a-z, 0-9, '_' and '-' are fine"
        )
    if not all(parts):
        return f"has an empty part: write {_FORM}"
    if len(parts) == 1 or not _is_broker(parts[-1]):
        return f"has no broker: write {_FORM}"
    return ""


def _wrong_part(fqme: Fqme) -> str:
    """Say which part of *fqme* can't be one at all, empty if none."""
    words = fqme.info[1:] if fqme.strike else fqme.info
    bad_word = next((part for part in words if not _is_word(part)), "")
    checks = (
        (_is_broker(fqme.broker), "broker", fqme.broker, _WORD_FORM),
        (
            _PAIR.fullmatch(fqme.pair),
            "pair",
            fqme.pair,
            "a letter or digit, then '_' or '-' too",
        ),
        (_is_word(fqme.venue or "x"), "venue", fqme.venue, _WORD_FORM),
        (_is_good_expiry(fqme.expiry), "expiry", fqme.expiry, _EXPIRY_FORM),
        (_STRIKE.fullmatch(fqme.strike or "1c"), "strike", fqme.strike, _STRIKE_FORM),
        ("" not in words and not bad_word, "part", bad_word, _WORD_FORM),
    )
    for good, what, part, advice in checks:
        if not good:
            return f"has a bad {what} {part!r}: {advice}"
    if len(str(fqme)) > MAX_FQME_CHARS:
        return f"is longer than {MAX_FQME_CHARS} characters"
    return ""


def _wrong_shape(fqme: Fqme) -> str:
    """Say which good parts of *fqme* don't go together, empty if all do."""
    if fqme.strike and _as_date(fqme.expiry) is None:
        return f"has a strike {fqme.strike!r} but no date of expiry before it"
    if not fqme.venue and fqme.info[1 if fqme.strike else 0 :]:
        return f"has no venue before {fqme.info[-1]!r}: write {_FORM}"
    return ""


def _is_expiry(part: str) -> bool:
    """Tell whether *part* can only be meant as an expiry, good or bad."""
    return part == "perp" or _NUMBER.fullmatch(part) is not None


def _is_good_expiry(part: str) -> bool:
    return part in {"", "perp"} or _as_date(part) is not None


def _is_word(part: str) -> bool:
    return _WORD.fullmatch(part) is not None and part != "perp"


def _is_broker(part: str) -> bool:
    return _BROKER.fullmatch(part) is not None and part != "perp"


def _as_date(part: str) -> date | None:
    if not _DATE.fullmatch(part):
        return None
    year = int(part[:-4]) + (2000 if len(part) == 6 else 0)
    try:
        return date(year, int(part[-4:-2]), int(part[-2:]))
    except ValueError:
        return None
