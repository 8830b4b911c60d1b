"""A terminal that a test types into and reads: tmux, with a server of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

needs_tmux = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux isn't installed: apt-get install tmux"
)
_NAMES = {
    "esc": "Escape", "enter": "Enter", "up": "Up", "down": "Down", "left": "Left",
    "right": "Right", "home": "Home", "end": "End", "pageup": "PPage",
    "pagedown": "NPage", "backspace": "BSpace", "tab": "Tab", "space": "Space",
    "delete": "DC", "f1": "F1",
}  # fmt: skip


class Terminal:
    """A terminal in which a command runs.

    Attributes:
      socket: of the tmux server.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    async def tmux(self, *args: str, check: bool = True) -> str:
        env = {key: value for key, value in os.environ.items() if key != "TMUX"}
        done = await trio.run_process(
            ["tmux", "-S", str(self.socket), *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=env,
        )
        assert not check or not done.returncode, done
        return done.stdout.decode()

    async def press(self, *combos: str) -> None:
        """Press keys, by the names that the chart's table has."""
        for combo in combos:
            *held, name = combo.split("-") if len(combo) > 1 else [combo]
            prefix = "".join({"ctrl": "C-", "shift": "S-"}[each] for each in held)
            key = _NAMES.get(name, name)
            if prefix or key != name:
                await self.tmux("send-keys", "-t", "0", prefix + key)
            else:
                await self.tmux("send-keys", "-t", "0", "-l", key)
            if combo == "esc":  # what follows at once would be taken for alt with it
                await trio.sleep(0.2)

    async def type(self, text: str) -> None:
        await self.tmux("send-keys", "-t", "0", "-l", text)

    async def screen(self) -> str:
        """Return what is shown now."""
        return await self.tmux("capture-pane", "-p", "-t", "0")

    async def until(self, *patterns: str, deadline_s: float = 30.0) -> str:
        """Return the screen once all patterns are found in it."""
        shown = ""
        with trio.move_on_after(deadline_s):
            while True:
                shown = await self.screen()
                if all(re.search(each, shown) for each in patterns):
                    return shown
                await trio.sleep(0.1)
        raise AssertionError(f"not seen in {deadline_s:g} s: {patterns}\n{shown}")

    async def until_gone(self, pattern: str, deadline_s: float = 30.0) -> str:
        """Return the screen once a pattern isn't found in it."""
        shown = ""
        with trio.move_on_after(deadline_s):
            while True:
                shown = await self.screen()
                if not re.search(pattern, shown):
                    return shown
                await trio.sleep(0.1)
        raise AssertionError(f"still there after {deadline_s:g} s: {pattern}\n{shown}")

    async def pid(self) -> int:
        """Return the process that the terminal's shell runs."""
        shell = int(await self.tmux("list-panes", "-F", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])


@asynccontextmanager
async def open_terminal(argv: list[str], env: dict[str, str], size=(80, 24)):
    """Run a command in a terminal; after its end it is told how it ended."""
    # a socket's path is to be short, and a test's folder isn't
    place = Path(tempfile.mkdtemp(prefix="tmux-"))
    script = place / "run.sh"
    names = [name for name in env if name.startswith("PIKER_")]
    lines = [f"export {name}={shlex.quote(env[name])}" for name in names]
    script.write_text(
        "\n".join([*lines, "unset COLUMNS LINES", shlex.join(argv)])
        + '\necho "it ended by $?"\nexec sleep 1000\n'
    )
    terminal = Terminal(place / "tmux")
    width, height = map(str, size)
    start = ["-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height]
    try:
        await terminal.tmux(*start, f"sh {shlex.quote(str(script))}")
        yield terminal
    finally:
        with trio.CancelScope(shield=True):
            await terminal.tmux("kill-server", check=False)
        # the server may still be at it, to remove its socket
        shutil.rmtree(place, ignore_errors=True)
