"""Keys as a terminal sends them: bytes that come out as what the table names."""

from __future__ import annotations

import sys
from pathlib import Path

import trio

from piker.ui._tui._taps import action_of
from tests.ui._headless import told
from tests.ui._tmux import needs_tmux, open_terminal

pytestmark = needs_tmux

ROOT = Path(__file__).parents[2]
#: What isn't one key.
NOT_ONE = {"c c, quickly": ["c"], "1-9, 0 for 10": list("1234567890")}
#: Of a terminal it is the same byte.
SAME = {"tab": "ctrl-i"}


async def test_each_key_of_the_table_comes_out_of_a_terminal(tmp_path):
    noted = tmp_path / "keys"
    noted.touch()
    keys = [key for combo in sorted(told()) for key in NOT_ONE.get(combo, [combo])]
    assert len(keys) > 60
    argv = ["env", f"--chdir={ROOT}", sys.executable, "-m", "tests.ui._tui_echo", noted]
    async with open_terminal([*map(str, argv)], {}) as terminal:
        await terminal.until("watchlist")
        came = {}
        for key in keys:
            noted.write_text("")
            await terminal.press(key)
            with trio.move_on_after(10):
                while not noted.read_text().endswith("\n"):
                    await trio.sleep(0.01)
            came[key] = noted.read_text().split()
    wrong = {
        key: combos
        for key, combos in came.items()
        if [action_of(combo) for combo in combos] != [action_of(SAME.get(key, key))]
    }
    assert not wrong
