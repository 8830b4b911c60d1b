"""``python -m piker.testing._messages``: writes ``docs/messages.md`` from the structs.

    piker.msgs: structs, fields, docstrings --> one page, by who says what to whom

A test says when the page isn't what this would write.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec

from piker import msgs

PAGE: Final = Path(__file__).parents[2] / "docs" / "messages.md"

_HEAD: Final = """\
# Messages

What piker's processes say to each other about markets and orders. Made from
`piker/msgs` by `python -m piker.testing._messages`; don't edit it by hand.

Each message is a msgpack map; where one of several may come, its key `type` says which.
Of the types below, a *decimal* is a text such as `"0.10"`, exact; *ns* are nanoseconds
since the epoch, UTC; None is null. A key with a default may be left out.
"""

#: Heading, what is told below it, and who is listed there.
_GROUPS: Final[tuple[tuple[str, str, tuple[Any, ...]], ...]] = (
    (
        "Client to emsd",
        "Orders, edits and cancels. Each is answered by the order's next state or by an"
        " `error`, told by its `oid`.",
        (msgs.ClientMsg,),
    ),
    (
        "emsd to client",
        "What has become of orders, to every client. What is told together comes as"
        " one message, an array of these.",
        (msgs.EmsInit, msgs.EmsMsg),
    ),
    (
        "emsd to brokerd and paperboi",
        "One request of an order at a time.",
        (msgs.BrokerdRequest,),
    ),
    (
        "brokerd and paperboi to emsd",
        "First, once, `dialog_init`; then answers and what happens by itself. What"
        " happened together, an order's fill and its end, comes as one message, an"
        " array of these.",
        (msgs.DialogInit, msgs.BrokerdMsg),
    ),
    (
        "brokerd to client",
        "Of its accounts, besides what emsd asks for: trades as they are fetched, keys,"
        " and the end of all that is open.",
        (msgs.SyncProgress, msgs.SyncDone, msgs.AccountCheck, msgs.AllEnded),
    ),
    (
        "Client to datad",
        "Commands on the stream of a feed.",
        (msgs.FeedCommand,),
    ),
    (
        "datad to client",
        "First, once, a `flume` a market; then quotes and events, each in its place."
        " Symbol searches and mends have streams of their own.",
        (msgs.FlumeMsg, msgs.FeedMsg, msgs.Match, msgs.MendProgress),
    ),
    (
        "datad and recorder",
        "Raw frames of a venue.",
        (msgs.FramePoint, msgs.FrameBatch),
    ),
    (
        "Script to chart",
        "What is to be drawn in open charts; each command is answered in turn.",
        (msgs.AnnotCommand, msgs.AnnotDone),
    ),
    (
        "pikerd to client",
        "Services, as they are and as they change.",
        (msgs.ServiceInfo, msgs.ServiceEvent),
    ),
)
_PARTS: Final = ("Parts", "What stands in fields of the messages above.")
_ENTRY: Final = re.compile(r"  (\w+(?:, \w+)*): (.*)")
_WORDS: Final[dict[Any, str]] = {
    Decimal: "decimal",
    int: "integer",
    float: "number",
    str: "text",
    bool: "true or false",
    bytes: "bytes",
    NoneType: "null",
    Any: "anything",
}
Kind = type[msgspec.Struct]


def render() -> str:
    """Return the page."""
    lines, seen = [_HEAD], set[Kind]()
    listed = [(head, text, list(_members(told))) for head, text, told in _GROUPS]
    parts = list(_parts_of(kind for _, _, kinds in listed for kind in kinds))
    for head, text, kinds in (*listed, (*_PARTS, parts)):
        lines.append(f"## {head}\n\n{text}\n")
        for kind in kinds:
            again = f"And {_type(kind)}, as above.\n"
            lines.append(again if kind in seen else _section(kind))
            seen.add(kind)
    return "\n".join(lines)


def shown_kinds() -> list[Kind]:
    """Return every struct that the page tells of, in its order."""
    shown = [kind for _, _, told in _GROUPS for kind in _members(told)]
    return [*dict.fromkeys(shown), *_parts_of(shown)]


def _members(told: Iterable[Any]) -> Iterator[Kind]:
    """Yield the structs of unions, and those named by themselves, each once."""
    seen: set[Kind] = set()
    for each in told:
        for kind in get_args(each) or (each,):
            if kind not in seen:
                seen.add(kind)
                yield kind


def _parts_of(shown: Iterable[Kind]) -> Iterator[Kind]:
    """Yield the structs in fields of *shown*, and of these in turn, each once."""
    shown = list(shown)
    seen = set(shown)
    for kind in shown:  # it grows meanwhile
        for field in msgspec.structs.fields(kind):
            for part in _structs_in(field.type):
                if part not in seen:
                    seen.add(part)
                    shown.append(part)
                    yield part


def _structs_in(kind: Any) -> Iterator[Kind]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for each in get_args(kind):
        yield from _structs_in(each)


# -- one struct ----------------------------------------------------------------------


def _section(kind: Kind) -> str:
    """Return a struct's part of the page."""
    config = kind.__struct_config__
    tag = f"`type` is `{config.tag}`" if config.tag is not None else ""
    form = "a list of its fields in this order" if config.array_like else ""
    notes = "; ".join(filter(None, (tag, form)))
    text, meanings = _told(kind)
    lines = [f"### {kind.__name__}", "", text, ""]
    if notes:
        lines += [f"On the wire: {notes}.", ""]
    fields = msgspec.structs.fields(kind)
    if fields:
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field in fields:
        cells = (
            f"`{field.encode_name}`",
            _type(field.type),
            _default(field),
            meanings.get(field.name, ""),
        )
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines) + ("\n" if fields else "")


def _told(kind: Kind) -> tuple[str, dict[str, str]]:
    """Return what a docstring says of the struct, and of each field."""
    text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition(
        "Attributes:\n"
    )
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in attributes.splitlines():
        entry = _ENTRY.fullmatch(line)
        if entry:
            names = entry[1].split(", ")
            meanings |= dict.fromkeys(names, entry[2])
        else:
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
    return _plain(text.strip()), {
        name: _plain(each.strip()) for name, each in meanings.items()
    }


def _plain(text: str) -> str:
    """Return reStructuredText as markdown, as far as docstrings use it."""
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text)
    text = text.replace("``", "`")
    return re.sub(r"\n(?!\n)(?<!\n\n)", " ", text)


def _type(kind: Any) -> str:
    """Return a type as people say it."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f'`"{each}"`' for each in args)
    if origin in {UnionType, Union}:
        return " or ".join(map(_type, args))
    if origin in {tuple, list}:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return f"map of {_type(args[0])} to {_type(args[1])}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return _WORDS[kind]


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return ""
    made = field.default
    if made is msgspec.NODEFAULT:
        made = field.default_factory()
    return f"`{msgspec.json.encode(made).decode()}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main()
