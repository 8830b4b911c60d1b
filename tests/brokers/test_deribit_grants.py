"""Who asks, as Deribit knows it: what becomes of answers that don't come."""

from __future__ import annotations

import asyncio
import json

import pytest

from piker.brokers._live._secrets import Keys, Secret
from piker.brokers.deribit import _grants
from piker.brokers.deribit._grants import Grants, Pulse
from piker.errors import VenueUnreachable

KEYS = Keys(Secret("an-id-of-a-key"), Secret("what-signs-with-it"))
GRANTED = {"access_token": "a" * 20, "refresh_token": "r" * 20, "expires_in": 0}


def venue(answers):
    """Return what answers the first requests, and none after them."""
    asked = []

    async def need(_method, params):
        asked.append(params["grant_type"])
        if len(asked) > answers:
            await asyncio.Event().wait()
        return json.dumps({"id": 1, "result": GRANTED}).encode()

    return need, asked


def test_a_renewal_that_is_never_answered_is_given_up_and_ends_the_keeping(
    monkeypatch,
):
    """The line is closed then; else all orders would wait behind it for ever."""
    monkeypatch.setattr(_grants, "_ANSWER_S", 0.05)
    monkeypatch.setattr(_grants, "_LEAST_S", 0.01)
    need, asked = venue(answers=1)

    async def main():
        grants = Grants(need, KEYS, Pulse())
        await grants.ask()
        keeping = asyncio.ensure_future(grants.keep())
        while len(asked) < 2:
            await asyncio.sleep(0.001)
        with pytest.raises(VenueUnreachable, match="said nothing"):
            await grants.ask()
        await asyncio.wait_for(keeping, 20)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert asked[1] == "refresh_token"
    assert set(asked[2:]) == {"client_credentials"}
