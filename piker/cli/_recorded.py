"""What ``piker record`` tells: how it goes, what it came to, what a file holds."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from msgspec.structs import asdict

from piker.errors import SessionFileError
from piker.msgs import NS, FeedEvent, Reconnected

from ._run import say
from ._show import bare_fields, duration, put_json

if TYPE_CHECKING:
    from piker.brokers.sim import MarketInfo, SessionInfo
    from piker.data.recording import Recording

_CLEAR = "\r\x1b[K"


@dataclass
class Telling:
    """Tells how a recording goes, and what it came to.

    Attributes:
      as_json: a line of JSON each time; else for people, the progress on a terminal.
      recording: once it began.
    """

    as_json: bool
    recording: Recording | None = None
    _began_s: float = 0.0
    _before: tuple[float, int] = (0.0, 0)

    def begin(self, recording: Recording) -> None:
        """Take the recording that began just now."""
        self.recording, self._began_s = recording, time.monotonic()
        self._before = self._began_s, recording.frames

    def event(self, event: FeedEvent) -> None:
        """Tell what happened to the markets."""
        kind = str(event.__struct_config__.tag)
        if self.as_json:
            put_json({"type": kind, **bare_fields(event)})
            return
        if isinstance(event, Reconnected):
            reason = "it goes on; what was missed is fetched"
        else:
            reason = event.reason
        self._clear()
        say(f"{kind}: {', '.join(event.fqmes)}: {reason}")

    def report(self) -> None:
        """Tell how far it is."""
        assert self.recording is not None
        (then_s, then), now_s = self._before, time.monotonic()
        frames = self.recording.frames
        self._before = now_s, frames
        frames_s = (frames - then) / max(now_s - then_s, 1e-3)
        size = sum(file.file_bytes for file in self.recording.files)
        if self.as_json:
            told = {"frames": frames, "bytes": size, "frames_s": round(frames_s, 1)}
            put_json({"type": "progress", **told})
        elif sys.stderr.isatty():
            took = duration(now_s - self._began_s)
            text = f"{took}: {frames:,} frames, {_size(size)}, {frames_s:,.0f} a second"
            typer.echo(_CLEAR + text, nl=False, err=True)

    def end(self) -> None:
        """Tell what it came to, if it began."""
        if self.recording is None:
            return
        self._clear()
        took_s = time.monotonic() - self._began_s
        for file in self.recording.files:
            frames = _readable(file.path) if file.is_full else file.frames
            told = {
                "path": str(file.path),
                "frames": frames,
                "bytes": file.file_bytes,
                "seconds": round(took_s, 1),
            }
            if self.as_json:
                put_json({"type": "recorded", **told})
                continue
            packed = file.content_bytes / file.file_bytes if file.file_bytes else 0.0
            typer.echo(
                f"{file.path}: {frames:,} frames in {duration(took_s)},"
                f" {_size(file.file_bytes)}, packed {packed:.1f}x"
            )

    def _clear(self) -> None:
        if not self.as_json and sys.stderr.isatty():
            typer.echo(_CLEAR, nl=False, err=True)


def show_info(path: Path, *, as_json: bool) -> None:
    """Say what a recorded session holds; raises SessionFileError."""
    from piker.brokers.sim import session_info

    info = session_info(path)
    if as_json:
        told = asdict(info)
        told["markets"] = [asdict(one) for one in info.markets]
        told["gaps"] = [asdict(one) for one in info.gaps]
        put_json(told)
        return
    for name, text in _lines(info):
        typer.echo(f"{name:10} {text}")


def _readable(path: Path) -> int:
    """Return how many frames a file holds that took no more."""
    from piker.brokers.sim import session_info

    try:
        return session_info(path).frames
    except SessionFileError:
        return 0


def _lines(info: SessionInfo) -> list[tuple[str, str]]:
    """Return what a file holds as lines of a name and a text."""
    took_s = (info.last_ns - info.first_ns) / NS
    lines = [
        ("file", f"{info.path}, {_size(info.file_bytes)}"),
        ("venue", info.venue),
        ("from", f"{_at(info.first_ns)} to {_at(info.last_ns)}, {duration(took_s)}"),
        ("frames", f"{info.frames:,}" + (f", {info.bad:,} bad" if info.bad else "")),
    ]
    lines += [
        ("market", f"{market.fqme}: {market.trades:,} trades{_gone(market)}")
        for market in info.markets
    ]
    for gap in info.gaps:
        until = f"to {_at(gap.to_ns)}" if gap.to_ns else "to the end"
        mended = "mended" if gap.to_ns else "not mended"
        text = f"{gap.fqme} from {_at(gap.from_ns)} {until}, {mended}: {gap.reason}"
        lines.append(("gap", text))
    if info.lost:
        lines.append(("lost", f"{info.lost:,} trades that the venue didn't give again"))
    lines.append(("end", info.torn or _end(info)))
    return lines


def _end(info: SessionInfo) -> str:
    return (
        "in order" if info.in_order else "whole; its recorder didn't say that it ended"
    )


def _gone(market: MarketInfo) -> str:
    return f", nothing after them: {market.gone}" if market.gone else ""


def _at(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / NS, UTC):%Y-%m-%d %H:%M:%S}"


def _size(n_bytes: int) -> str:
    """Return a size in its unit: ``512 B``, ``12.3 kB``, ``4.5 MB``."""
    if n_bytes < 1000:
        return f"{n_bytes} B"
    size = n_bytes / 1000
    for unit in ("kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
