"""The markets a broker lists, kept on disk from one start to the next.

    write_symbols() --> <cache>/symbols/<broker>[-<key>].msgpack --> read_symbols()

A file is whole or absent; one that is not ours, or of another time, is as if absent:
it can be made anew, so nothing here is worth an error to who reads.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from piker.config import cache_dir, make_private
from piker.errors import ConfigError
from piker.files import put_whole
from piker.log import get_logger
from piker.msgs import MktPair
from piker.types import Struct

log = get_logger(__name__)

#: Raised with every change of what is written, here or in MktPair.
VERSION: Final = 4


class Listed(Struct, frozen=True, kw_only=True):
    """One market as its venue lists it.

    Attributes:
      mkt: the market.
      trading: whether it trades now; one that doesn't is found, but last.
      volume: of 24 h, in dollars if that is known, else in quote units, else any number
        that grows with it; 0 if unknown.
      description: a few words, may be empty.
      aliases: other names that lead to it, e.g. ``btcusdt.kraken``.
      rest_name: what the venue's REST calls it where that isn't ``mkt.bs_mktid``.
    """

    mkt: MktPair
    trading: bool = True
    volume: float = 0.0
    description: str = ""
    aliases: tuple[str, ...] = ()
    rest_name: str = ""


class SymbolFile(Struct, frozen=True, kw_only=True):
    """What is on disk.

    Attributes:
      version: of the form of this file.
      broker, key: whose markets these are.
      fetched_s: when they were asked for, epoch seconds.
      listed: the markets.
    """

    version: int
    broker: str
    key: str
    fetched_s: float
    listed: list[Listed]


class _Head(msgspec.Struct):
    version: int = 0


# Made here, before any thread decodes: see the gotcha "datad was killed by signal 11".
_HEADS: Final = msgspec.msgpack.Decoder(_Head)
_FILES: Final = msgspec.msgpack.Decoder(SymbolFile)


def symbols_path(broker: str, key: str) -> Path:
    """Return where the markets of *broker* are kept; each *key* has its own file."""
    mark = f"-{blake2b(key.encode(), digest_size=6).hexdigest()}" if key else ""
    return cache_dir() / "symbols" / f"{broker}{mark}.msgpack"


def read_symbols(broker: str, key: str) -> SymbolFile | None:
    """Return what is on disk, None if that is nothing of use."""
    path = symbols_path(broker, key)
    try:
        make_private(path.parent)
        raw = path.read_bytes()
        # a file of another version needn't have the fields of this one
        if _HEADS.decode(raw).version != VERSION:
            return None
        found = _FILES.decode(raw)
    except FileNotFoundError:
        return None
    except (OSError, ConfigError, msgspec.MsgspecError, ValueError) as err:
        log.warning("symbols in %s are fetched anew: %s", path, err)
        return None
    return found if (found.broker, found.key) == (broker, key) else None


def write_symbols(file: SymbolFile) -> None:
    """Keep *file* in place of what is there; only logs if that can't be done."""
    path = symbols_path(file.broker, file.key)
    try:
        make_private(path.parent)
        put_whole(path, msgspec.msgpack.encode(file), durable=False, mode=0o600)
    except (OSError, ConfigError) as err:
        log.warning("symbols of %s are not kept for the next start: %s", path, err)
