"""Telling the user: a command of theirs, run for each thing worth a look.

    tell --> what waits --> [run: one command in a while] --> their screen
                            (several that wait: one notice of them all)

Who tells never waits and never hears of a failure: that is logged, once while it lasts.
No shell is used: a text is one word of the command, whatever stands in it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import trio

from piker.config import ClearingConf
from piker.log import get_logger
from piker.service import collapse_eg

log = get_logger(__name__)

#: Between two commands: more is no news to a human.
GAP_S: Final = 2.0
#: A command that takes longer is killed, and what it started too.
DEADLINE_S: Final = 5.0
#: For what waits when the teller ends.
_LAST_S: Final = 1.0
#: Notices that wait at most, the newest; of them, lines that are shown.
_WAITING_MAX: Final = 100
_LINES_MAX: Final = 8
_TITLE_CHARS: Final = 100
_TEXT_CHARS: Final = 500
_PLACE: Final = re.compile(r"\{(title|text)\}")
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")


@dataclass(frozen=True)
class Notice:
    """What the user is told.

    Attributes:
      title: a few words.
      text: a sentence, or several lines.
      count: how many it stands for.
    """

    title: str
    text: str
    count: int = 1


def words(command: Sequence[str], notice: Notice) -> list[str]:
    """Return *command* with ``{title}`` and ``{text}`` of a notice in their places.

    A word that would be taken for an option by that begins with a space.
    """
    told = {
        "title": _shown(notice.title, _TITLE_CHARS),
        "text": _shown(notice.text, _TEXT_CHARS),
    }
    # in one go: what is put in isn't looked at again
    filled = [_PLACE.sub(lambda place: told[place[1]], word) for word in command]
    return [
        f" {word}" if word.startswith("-") and not was.startswith("-") else word
        for was, word in zip(command, filled, strict=True)
    ]


def together(notices: Sequence[Notice]) -> Notice:
    """Return one notice of several, the newest lines of them."""
    if len(notices) == 1 and notices[0].count == 1:
        return notices[0]
    count = sum(notice.count for notice in notices)
    newest = [n for n in notices if n.title or n.text][-_LINES_MAX:]
    lines = [f"{notice.title}: {notice.text}" for notice in newest]
    if count > len(newest):
        lines.insert(0, f"{count - len(newest)} more, and")
    return Notice(f"piker: {count} notices", "\n".join(lines), count)


def _shown(text: str, most: int) -> str:
    clean = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    return clean if len(clean) <= most else f"{clean[: most - 3]}..."


class Notifier:
    """Tells the user by a command; use `open_notifier`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        gap_s: float = GAP_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """Run *command*, none if it is empty."""
        self._command = tuple(command)
        self._gap_s, self._deadline_s = gap_s, deadline_s
        self._waiting: list[Notice] = []
        self._wake = trio.Event()
        self._failure = ""

    def tell(self, title: str, text: str) -> None:
        """Have the user told; never blocks, never raises.

        Args:
          title: a few words, e.g. ``piker: alert``.
          text: one sentence.
        """
        if not self._command:
            return
        self._waiting.append(Notice(title, text))
        if len(self._waiting) > _WAITING_MAX:
            oldest, then, *rest = self._waiting
            self._waiting = [Notice("", "", oldest.count + then.count), *rest]
        self._wake.set()

    async def run(self) -> None:
        """Tell what waits, for ever."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            await self.tell_waiting()
            await trio.sleep(self._gap_s)

    async def tell_waiting(self) -> None:
        """Tell what waits now, in one notice."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            failure = await self._run(words(self._command, together(waiting)))
            if failure and failure != self._failure:
                self._log(failure)
            self._failure = failure

    def _log(self, failure: str) -> None:
        is_default = self._command == ClearingConf().notify
        is_absent = is_default and shutil.which(self._command[0]) is None
        (log.info if is_absent else log.warning)("can't notify: %s", failure)

    async def _run(self, command: list[str]) -> str:
        """Run a command for a while, and return what went wrong, empty if nothing."""
        name = command[0]
        try:
            process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as err:
            return f"{name!r} can't be run: {err.strerror}"
        except ValueError as err:
            return f"{name!r} can't be run: {err}"
        try:
            with trio.move_on_after(self._deadline_s) as deadline:
                await process.wait()
        finally:
            await _end(process)
        if deadline.cancelled_caught:
            return f"{name!r} was killed, it took longer than {self._deadline_s:g} s"
        code = process.returncode
        return f"{name!r} ended with exit code {code}" if code else ""


async def _end(process: trio.Process) -> None:
    """Kill a process that still runs, and all that it started, and reap it."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # what is killed is gone at once, or hangs in the kernel: then it isn't waited for
    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
        await process.wait()


@asynccontextmanager
async def open_notifier(
    command: Sequence[str], *, gap_s: float = GAP_S, deadline_s: float = DEADLINE_S
) -> AsyncIterator[Notifier]:
    """Yield who tells the user; what waits at the block's end is told still.

    Args:
      command: words of it, as in ``clearing.notify`` of conf.toml; empty: nothing.
      gap_s: between two commands; what comes meanwhile is told together.
      deadline_s: for one.
    """
    notifier = Notifier(command, gap_s=gap_s, deadline_s=deadline_s)
    async with collapse_eg(), trio.open_nursery() as tasks:
        tasks.start_soon(notifier.run)
        try:
            yield notifier
        finally:
            # that nobody watches any more is worth a second, even of who is cancelled
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _LAST_S):
                await notifier.tell_waiting()
            tasks.cancel_scope.cancel()
