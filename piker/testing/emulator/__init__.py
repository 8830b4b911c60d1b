"""Loopback emulators of venues: all that each speaks, on one port.

    recorded session | sim --tape--> [python -m piker.testing.emulator] <-- a client
                                        ^-- POST /_emulator/fault: what to do wrong

Each runs in a process of its own, speaks as its venue's documents say and misbehaves
on command. See docs/emulators.md for what is emulated and for each fault::

    async with open_emulator("binance.spot", session=FILE, speed=0) as venue:
        (folder / "conf.toml").write_text(venue.conf)
        await venue.fault("disconnect", at=[500], how="rst", missed=40)
"""

from ._client import (
    VENUES as VENUES,
    Emulator as Emulator,
    conf_of as conf_of,
    open_emulator as open_emulator,
)
from ._forked import forked_emulators as forked_emulators
