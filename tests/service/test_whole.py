"""Sends that are cancelled while the socket is full."""

from __future__ import annotations

import pytest
import trio

from piker.service._tractor import _whole
from piker.service._tractor._whole import send_whole

DATA = bytes(range(256)) * 8192


@pytest.fixture
def ends():
    """Return both ends of a connection; what is sent is more than it holds."""
    one, other = trio.socket.socketpair()
    with one, other:
        yield trio.SocketStream(one), trio.SocketStream(other)


async def read(stream) -> bytes:
    """Return all that comes until it ends."""
    found = bytearray()
    async for some in stream:
        found += some
    return bytes(found)


async def cancel_midway(stream) -> None:
    with trio.move_on_after(0.05):
        await send_whole(stream, DATA)
        pytest.fail("it was to be cancelled")


async def test_a_cancelled_message_is_ended_where_it_can_be(ends, monkeypatch):
    monkeypatch.setattr(_whole, "REST_S", 30.0)  # this may be held up itself
    near, far = ends
    async with trio.open_nursery() as tasks:
        tasks.start_soon(cancel_midway, near)
        await trio.sleep(0.1)
        found = bytearray()
        while len(found) < len(DATA):
            more = await far.receive_some(65536)
            assert more, "it was broken off"
            found += more
        assert found == DATA
    await send_whole(near, b"next")
    assert await far.receive_some() == b"next"


async def test_behind_half_a_message_nothing_is_sent(ends):
    near, far = ends
    await cancel_midway(near)
    with pytest.raises(trio.BrokenResourceError):
        await send_whole(near, b"next")
    found = await read(far)
    assert 0 < len(found) < len(DATA)
    assert DATA.startswith(found)


async def test_cancelled_before_its_begin_nothing_is_sent(ends):
    near, far = ends
    with trio.CancelScope() as scope:
        scope.cancel()
        await send_whole(near, b"never")
    await send_whole(near, b"next")
    assert await far.receive_some() == b"next"
    await near.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await send_whole(near, b"late")
