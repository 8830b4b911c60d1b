"""``docs/messages.md`` tells of each message what its struct says now."""

from __future__ import annotations

import re

import msgspec
import pytest

from piker import msgs
from piker.testing import _messages
from piker.types import Struct

KINDS = [
    each
    for each in vars(msgs).values()
    if isinstance(each, type)
    and issubclass(each, msgspec.Struct)
    and each is not msgs.Fqme  # travels as its text
]


def test_the_page_is_current():
    told = _messages.PAGE.read_text(encoding="utf-8")
    assert told == _messages.render(), "run python -m piker.testing._messages"


def test_every_message_is_told_of_once():
    shown = _messages.shown_kinds()
    assert len(shown) == len(set(shown))
    assert set(shown) == set(KINDS)
    heads = re.findall(r"^### (\w+)$", _messages.render(), re.MULTILINE)
    assert heads == [kind.__name__ for kind in shown]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_is_explained(kind):
    text, meanings = _messages._told(kind)
    assert text
    # said once in the module: events have what all of them have
    common = {"fqmes", "reason", "time_ns"}
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert meanings.keys() <= fields
    named = set(re.findall(r"\*(\w+)\*", text))
    assert not fields - meanings.keys() - common - named


class Inner(Struct, frozen=True, kw_only=True, tag="inner"):
    """Small."""


class Thing(Struct, frozen=True, kw_only=True, tag="thing"):
    """Something ``odd``,
    and a :class:`str`.

    Attributes:
      one, two: told
        together.
      part: a | b.
    """

    one: int
    two: float = 1.5
    part: Inner | None = None
    names: tuple[str, ...] = ("a",)


def test_how_a_struct_is_told():
    assert (
        _messages._section(Thing)
        == """\
### Thing

Something `odd`, and a `str`.

On the wire: `type` is `thing`.

| field | type | default | meaning |
|---|---|---|---|
| `one` | integer |  | told together. |
| `two` | number | `1.5` | told together. |
| `part` | [Inner](#inner) or null | `null` | a \\| b. |
| `names` | list of text | `["a"]` |  |
"""
    )
