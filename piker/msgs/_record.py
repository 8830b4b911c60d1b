"""What datad and a recorder say to each other."""

from __future__ import annotations

from piker.types import Struct

from ._feed import FeedEvent


class FramePoint(Struct, frozen=True, kw_only=True, tag="frame_point"):
    """From where the recording of a market is to go on.

    Attributes:
      serial: of the first trade that is wanted, as its venue counts; -1 if no trade
        was begun at yet.
      time_ns: by the venue's stamps, of the newest trade that is known, or, where no
        serial is, of the first that is wanted.
    """

    serial: int
    time_ns: int


class FrameBatch(Struct, frozen=True, kw_only=True, tag="frame_batch"):
    """Frames of a venue as they came, in the lines of a session file.

    Attributes:
      lines: frames and notes, each line with its end.
      frames: of them are frames.
      first_ns: receive stamp of the first frame, ns since the epoch; 0 if there is
        none.
      last_ns: of the last one.
      points: by full name, from where the recording goes on after these.
      events: what happened meanwhile.
    """

    lines: bytes
    frames: int
    first_ns: int
    last_ns: int
    points: dict[str, FramePoint]
    events: tuple[FeedEvent, ...] = ()
