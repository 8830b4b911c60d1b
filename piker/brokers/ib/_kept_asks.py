"""What was asked of IB lately, on disk: IB counts on when a daemon dies.

one daemon --each request for the past--> file --at its start--> the next one's pace
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from piker.config import cache_dir, make_private
from piker.errors import ConfigError
from piker.files import put_whole
from piker.log import get_logger

from ._pacing import WINDOW_S, Ask

log = get_logger(__name__)

#: More than IB counts within ten minutes.
_KEPT_MAX: Final = 128

_Asked = list[tuple[float, Ask]]
# Made here, before any thread decodes: see the gotcha "datad was killed by signal 11".
_ASKED: Final = msgspec.msgpack.Decoder(_Asked)


def kept_path() -> Path:
    """Return where a datad keeps it; of two at once, who asked last does."""
    return cache_dir() / "ib" / "asked.msgpack"


@dataclass(eq=False)
class KeptAsks:
    """Requests for the past in a file, each with when it was sent, epoch s.

    A file that can't be read or written is logged, and is no more than that.

    Attributes:
      path: of the file; its folder is made.
    """

    path: Path
    _asked: deque[tuple[float, Ask]] = field(
        default_factory=lambda: deque(maxlen=_KEPT_MAX), init=False
    )
    _is_kept: bool = field(default=True, init=False)
    _is_told: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        now = time.time()
        try:
            make_private(self.path.parent)
            found = _ASKED.decode(self.path.read_bytes())
            # a clock that was set back: not for as long as it takes to get there again
            self._asked.extend((min(asked_s, now), ask) for asked_s, ask in found)
        except FileNotFoundError:
            pass
        except ConfigError as err:
            self._is_kept = False
            log.warning("what is asked of ib isn't kept: %s", err)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as err:
            log.warning("what was asked of ib is forgotten: %s: %s", self.path, err)

    def recent(self) -> Iterator[tuple[float, Ask]]:
        """Yield those that IB may still count, and how long ago they were, s."""
        now = time.time()
        for asked_s, ask in self._asked:
            if now - asked_s < WINDOW_S:
                yield now - asked_s, ask

    def note(self, ask: Ask) -> None:
        """Keep a request that is about to be sent; logs the first time it can't."""
        if not self._is_kept:
            return
        self._asked.append((time.time(), ask))
        raw = msgspec.msgpack.encode(list(self._asked))
        try:
            put_whole(self.path, raw, durable=False, mode=0o600)
        except OSError as err:
            if not self._is_told:
                log.warning("what is asked of ib isn't kept: %s: %s", self.path, err)
            self._is_told = True
