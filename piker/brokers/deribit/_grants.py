"""Who asks, as Deribit knows it: a token of a connection, renewed before it ends.

    keys --client_credentials--> a token, for so long --refresh_token--> another ...
                                                     `--refused--> keys again

Runs on asyncio's loop. No key and no token is in an error or a log.

https://docs.deribit.com/articles/authentication
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from piker.errors import BadPayload, VenueRefused, VenueUnreachable
from piker.log import add_secret, get_logger

from ._answers import decode_result
from ._order_schemas import Granted

if TYPE_CHECKING:
    from piker.brokers._live._secrets import Keys

log = get_logger(__name__)

#: Of the time that a token is good for, when another is asked for.
_RENEW_AT: Final = 0.75
_LEAST_S: Final = 1.0
_TRIES: Final = 3
#: To be answered in; others wait for their turn meanwhile.
_ANSWER_S: Final = 10.0
_GRANTED: Final = msgspec.json.Decoder(Granted)

#: Asks for something without which there is no line; see `Rpc.need`.
Need = Callable[[str, dict[str, Any]], Awaitable[bytes]]


@dataclass(eq=False)
class Pulse:
    """When a connection was last heard of; whoever holds it may look.

    Attributes:
      heard_at: seconds of `time.monotonic`.
      scope: what its key may do, as the venue words it.
    """

    heard_at: float = field(default_factory=time.monotonic)
    scope: str = ""


class Grants:
    """What a connection was granted, for as long as it lives."""

    def __init__(self, need: Need, keys: Keys, pulse: Pulse) -> None:
        """Ask with *keys*; what is granted is noted in *pulse*."""
        self._need, self._keys, self._pulse = need, keys, pulse
        self._turn = asyncio.Lock()
        self._granted: Granted | None = None

    async def ask(self) -> None:
        """Say who asks, by the keys.

        Raises: VenueRefused: the venue doesn't take them. VenueUnreachable.
        """
        async with self._turn:
            await self._ask(
                {
                    "grant_type": "client_credentials",
                    "client_id": self._keys.key.reveal(),
                    "client_secret": self._keys.secret.reveal(),
                }
            )

    async def keep(self) -> None:
        """Renew what was granted before it ends; return if that fails for long."""
        failed = 0
        while failed < _TRIES:
            granted = self._granted
            assert granted is not None, "it was asked for"
            lives_s = 0.0 if failed else granted.expires_in * _RENEW_AT
            await asyncio.sleep(max(_LEAST_S, lives_s))
            try:
                if granted.refresh_token and not failed:
                    await self._refresh(granted.refresh_token)
                else:
                    await self.ask()
            except (VenueRefused, VenueUnreachable) as err:
                failed += 1
                log.warning("a token isn't renewed yet: %s", err)
            else:
                failed = 0

    async def _refresh(self, refresh_token: str) -> None:
        async with self._turn:
            await self._ask(
                {"grant_type": "refresh_token", "refresh_token": refresh_token}
            )

    async def _ask(self, params: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                body = await self._need("public/auth", params)
        except TimeoutError:
            raise VenueUnreachable(
                f"deribit said nothing to public/auth for {_ANSWER_S:g} s"
            ) from None
        granted = None
        with suppress(BadPayload):  # its text shows a token
            granted = decode_result(_GRANTED, body)
        if granted is None:
            raise VenueUnreachable("deribit answered public/auth with no token")
        for token in filter(None, (granted.access_token, granted.refresh_token)):
            add_secret(token)
        self._granted, self._pulse.scope = granted, granted.scope
