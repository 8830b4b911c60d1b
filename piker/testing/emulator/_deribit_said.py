"""Errors of the emulated Deribit, and its parameters.

By https://docs.deribit.com/articles/errors and the JSON-RPC page; what is wrong with a
parameter stands in ``data``: ``{"reason": "must conform to tick size", "param":
"price"}``.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ._private import Refusal

Params = dict[str, Any]
_MISSING: Final = object()
_MOST: Final = 10**18
_LEAST: Final = Decimal("1e-18")


class Said(Refusal):
    """An answer that is an error.

    Attributes:
      code: of the venue, or of JSON-RPC.
      data: more about it, None if there is nothing more.
    """

    def __init__(
        self, code: int, text: str, data: dict[str, Any] | None = None
    ) -> None:
        super().__init__(text)
        self.code, self.data = code, data

    def row(self) -> dict[str, Any]:
        """Return it as it is told."""
        told: dict[str, Any] = {"message": str(self), "code": self.code}
        return told if self.data is None else told | {"data": self.data}


def wrong(param: str, reason: str = "wrong format") -> Said:
    """Return what is said of a bad parameter."""
    return Said(-32602, "Invalid params", {"reason": reason, "param": param})


def text(params: Params, name: str, default: Any = _MISSING) -> str:
    """Return a parameter that is a text; raises Said."""
    value = params.get(name, default)
    if value is _MISSING:
        raise wrong(name, "value required")
    if not isinstance(value, str):
        raise wrong(name)
    return value


def one_of(
    params: Params, name: str, known: tuple[str, ...], default: Any = _MISSING
) -> str:
    """Return a parameter that is one of some texts; raises Said."""
    value = params.get(name, default)
    found = str(value) if isinstance(value, int) else text({name: value}, name)
    if value is _MISSING:
        raise wrong(name, "value required")
    if found not in known:
        raise wrong(name, "value must be one of " + ", ".join(known))
    return found


def number(params: Params, name: str, default: Any = _MISSING) -> int:
    """Return a parameter that is a whole number, also as a text; raises Said."""
    value = params.get(name, default)
    if value is _MISSING:
        raise wrong(name, "value required")
    if isinstance(value, str) and value.isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, Decimal) and abs(value) < _MOST and value == int(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MOST:
        raise wrong(name)
    return value


def decimal(params: Params, name: str, default: Any = _MISSING) -> Decimal | None:
    """Return a parameter that is a number, exactly as it was told; raises Said."""
    value = params.get(name, default)
    if value is _MISSING:
        raise wrong(name, "value required")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise wrong(name)
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise wrong(name) from None
    # of what is past all markets, and finer than all steps, nothing can be computed
    if not found.is_finite() or abs(found) > _MOST or (found and abs(found) < _LEAST):
        raise wrong(name)
    return found


def flag(params: Params, name: str, *, default: bool = False) -> bool:
    """Return a parameter that is true or false, also as a text; raises Said."""
    value = params.get(name, default)
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool):
        raise wrong(name)
    return value
