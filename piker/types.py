"""The base of every value that crosses a process or a wire."""

from __future__ import annotations

from msgspec import Struct as _Struct


class Struct(_Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record; never changed after it is made. Say ``kw_only=True`` in each."""
