"""The line of an emulated TWS to IB, and its farms: what is up, and what is said of it.

By https://interactivebrokers.github.io/tws-api/message_codes.html.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from ._tws_faults import Connectivity, Farm, Mute, Notice, OwnFault

if TYPE_CHECKING:
    from ._tws import Tws

_HISTORY: Final = "ushmds"
_CONTRACTS: Final = "secdefil"
#: Codes and words of a farm that is down, and of one that is up again.
_MARKET_WORDS: Final = (2103, 2104, "Market data farm connection is")
_WORDS: Final = {
    _HISTORY: (2105, 2106, "HMDS data farm connection is"),
    _CONTRACTS: (2157, 2158, "Sec-def data farm connection is"),
}
_TOLD: Final = ("usfarm", "usfuture", "cashfarm", _HISTORY, _CONTRACTS)
_CODES: Final = {
    1100: "Connectivity between IB and Trader Workstation has been lost.",
    1101: "Connectivity between IB and Trader Workstation has been restored - data"
    " lost.",
    1102: "Connectivity between IB and Trader Workstation has been restored - data"
    " maintained.",
    2110: "Connectivity between Trader Workstation and server is broken. It will be"
    " restored automatically.",
}


@dataclass
class System:
    """What is up.

    Attributes:
      down: farms that are not.
      is_cut: the line to IB is lost.
      back: is set, and replaced, when something is up again.
    """

    venue: Tws
    down: set[str] = field(default_factory=set)
    is_cut: bool = False
    back: trio.Event = field(default_factory=trio.Event)
    _loses: bool = False

    def is_up(self, farm: str) -> bool:
        """Tell whether a farm tells anything."""
        return not self.is_cut and farm not in self.down

    @property
    def is_all_up(self) -> bool:
        """Whether nothing is down."""
        return not self.is_cut and not self.down

    def has(self, farm: str) -> bool:
        """Tell whether a farm is up, if any is named."""
        return not farm or self.is_up(farm)

    async def wait_for(self, farm: str) -> None:
        """Wait until a farm is up, if any is named."""
        while not self.has(farm):
            await self.back.wait()

    def greet(self, tell: Callable[[int, int, str], None]) -> None:
        """Tell a new client how all farms are."""
        if self.is_cut:
            tell(-1, 1100, _CODES[1100])
        for farm in dict.fromkeys((*_TOLD, *sorted(self.down))):
            tell(-1, *_said(farm, is_up=farm not in self.down))

    # -- faults -------------------------------------------------------------------

    def strike(self, fault: OwnFault) -> None:
        """Have something be down, or say something."""
        match fault:
            case Notice():
                self._tell(fault.code, fault.text or _CODES.get(fault.code, ""))
            case Mute():
                self.venue.market_data.forget()
            case Farm():
                self.down.add(fault.name)
                self._tell(*_said(fault.name, is_up=False))
                if fault.seconds:
                    self.venue.start(self._mend, fault)
            case Connectivity():
                self.is_cut, self._loses = True, fault.lost
                self._tell(1100, _CODES[1100])
                if fault.seconds:
                    self.venue.start(self._restore, fault.seconds)

    def clear(self) -> None:
        """Have all be up."""
        for farm in sorted(self.down):
            self._up(farm)
        self._connect()

    async def _mend(self, fault: Farm) -> None:
        await trio.sleep(fault.seconds)
        self._up(fault.name)

    async def _restore(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self._connect()

    def _up(self, farm: str) -> None:
        if farm in self.down:
            self.down.remove(farm)
            self._tell(*_said(farm, is_up=True))
            self._note(farm)

    def _connect(self) -> None:
        if not self.is_cut:
            return
        self.is_cut = False
        if self._loses:
            for session in self.venue.sessions.values():
                self.venue.market_data.leave(session)
        self._tell(1101 if self._loses else 1102, _CODES[1101 if self._loses else 1102])
        self._note("")
        self.venue.asks.run_waiting()

    def _note(self, farm: str) -> None:
        self.venue.market_data.renew(farm)
        self.back.set()
        self.back = trio.Event()

    def _tell(self, code: int, text: str) -> None:
        for session in self.venue.sessions.values():
            session.error(-1, code, text)


def _said(farm: str, *, is_up: bool) -> tuple[int, str]:
    down, up, words = _WORDS.get(farm, _MARKET_WORDS)
    state = "OK" if is_up else "broken"
    return (up if is_up else down), f"{words} {state}:{farm}"
