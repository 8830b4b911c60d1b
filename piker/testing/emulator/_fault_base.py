"""What all faults are."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


class Fault(
    msgspec.Struct,
    frozen=True,
    tag_field="kind",
    tag=str.lower,
    forbid_unknown_fields=True,
):
    """A fault; its kind is its name in lower case."""
