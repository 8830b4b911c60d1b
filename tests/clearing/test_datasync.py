"""A sync that takes no thread, and one that has to."""

from __future__ import annotations

import errno
import os

import pytest
import trio

from piker.clearing import _datasync
from piker.clearing._datasync import datasync


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


@pytest.fixture
def threads(monkeypatch):
    """Which functions were run in a thread."""
    ran, run = [], trio.to_thread.run_sync

    async def noted(func, *args):
        ran.append(func)
        return await run(func, *args)

    monkeypatch.setattr(trio.to_thread, "run_sync", noted)
    return ran


async def test_many_at_once_take_no_thread(file, threads):
    for _ in range(3):
        async with trio.open_nursery() as tasks:
            for _ in range(20):
                os.write(file, b"x" * 100)
                tasks.start_soon(datasync, file)
    assert threads == []
    assert len(_datasync._idle) <= 20


async def test_without_the_kernels_help_it_takes_a_thread(file, threads, monkeypatch):
    monkeypatch.setattr(_datasync, "_idle", [])
    monkeypatch.setattr(_datasync, "_new_context", lambda: None)
    await datasync(file)
    assert threads == [os.fdatasync]


async def test_a_cancel_waits_for_the_disk(file):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(datasync, file)
            await trio.lowlevel.checkpoint()
            scope.cancel()
    await datasync(file)  # what it used is whole
    with trio.CancelScope() as scope:
        scope.cancel()
        await datasync(file)
    assert scope.cancelled_caught


async def test_a_file_that_can_not_be_synced_is_an_error_with_its_number():
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
            await datasync(writer)
        assert caught.value.errno == errno.EINVAL
    finally:
        os.close(reader)
        os.close(writer)


async def test_what_the_kernel_says_went_wrong_is_told(file, monkeypatch):
    class Context:
        def __init__(self):
            self.ready, self.other = os.pipe()

        fileno = property(lambda self: self.ready)

        def submit(self, operation):
            os.write(self.other, b"x")
            return 1

        def poll(self):
            os.read(self.ready, 1)

        def process_events(self):
            self.callback((1 << 64) - errno.ENOSPC)

    context = Context()

    class Operation:
        @classmethod
        def fdsync(cls, fd):
            assert fd == file
            return cls()

        def set_callback(self, callback):
            context.callback = callback

    monkeypatch.setattr("caio.linux_aio.Operation", Operation)
    monkeypatch.setattr(_datasync, "_idle", [context])
    with pytest.raises(OSError) as caught:  # noqa: PT011 - by its number
        await datasync(file)
    assert caught.value.errno == errno.ENOSPC
    os.close(context.ready)
    os.close(context.other)
