"""Messages that are damaged in all ways: each is read, or refused in one line."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from piker.errors import BadPayload

TOKENS = [
    b"", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"-", b"0",
    b"1e999", b"-1", b"9" * 40, b"9" * 5_000, b"0." + b"3" * 900, b"1e-999", b'"nan"',
    b'"\\u2028\\u0000"', b'"\\ud800"', b"\xff\xfe", b"\xf0\x9f\x92", b"\x00",
    b"[" * 4_000, b'{"data":' * 2_000, b'"x":1,', b'"' + b"y" * 3_000 + b'"',
]  # fmt: skip


def flip(rng, frame):
    at = rng.randrange(len(frame))
    return frame[:at] + bytes([rng.randrange(256)]) + frame[at + 1 :]


def cut(rng, frame):
    return frame[: rng.randrange(len(frame))]


def insert(rng, frame):
    at = rng.randrange(len(frame) + 1)
    return frame[:at] + rng.choice(TOKENS) + frame[at:]


def repeat(rng, frame):
    at, to = sorted(rng.choices(range(len(frame) + 1), k=2))
    return frame[:to] + frame[at:to] + frame[to:]


def replace_value(rng, frame):
    """Put another token in the place of a value."""
    at = rng.randrange(frame.find(b":"), len(frame))
    begin = frame.find(b":", at) + 1
    ends = [i for i in (frame.find(end, begin) for end in b",}]") if i > 0]
    if not begin or not ends:
        return cut(rng, frame)
    return frame[:begin] + rng.choice(TOKENS) + frame[min(ends) :]


def swap(rng, frame, frames):
    at = rng.randrange(len(frame))
    other = rng.choice(frames)
    return frame[:at] + other[rng.randrange(len(other)) :]


def damaged(rng, frames, count):
    """Yield frames, each damaged once to three times."""
    ways = [
        flip,
        flip,
        cut,
        insert,
        repeat,
        replace_value,
        partial(swap, frames=frames),
    ]
    for _ in range(count):
        frame = rng.choice(frames)
        for _ in range(rng.randrange(1, 4)):
            frame = rng.choice(ways)(rng, frame) or b" "
            if b":" not in frame:
                break
        yield frame


def count_refused(
    raw: bytes, seed: int | str, count: int, parse: Callable[[bytes], Any]
) -> int:
    """Return how many of *count* are refused; whatever else is raised goes through."""
    refused = []
    for told in damaged(random.Random(seed), [raw], count):
        try:
            parse(told)
        except BadPayload as error:
            refused.append(str(error))
    assert all(len(text.splitlines()) == 1 for text in refused)
    return len(refused)
