"""What a client is told when it comes: all of it durable, none of it twice."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import trio

from piker.clearing import _ems
from piker.clearing._clients import _Client, serve_client
from piker.clearing._fanout import Fanout
from piker.clearing._journal import open_journal
from piker.clearing._router import Origin
from piker.errors import TransportClosed
from piker.msgs import Cancel, EmsState
from tests.clearing.test_journal import dialog, status


class Left(Exception):
    """The client has what it came for."""


class Ctx:
    """The serving side of a call, as far as the greeting needs it."""

    def __init__(self, said: list) -> None:
        self.said = said
        self.init = None

    async def started(self, init) -> None:
        self.said.append("started")
        self.init = init
        raise Left


@pytest.fixture
def journal(tmp_path):
    with open_journal(tmp_path / "journal.sqlite") as journal:
        journal.write([dialog()], [status(seq) for seq in range(1, 6)])
        yield journal


def ems_over(journal):
    return SimpleNamespace(
        journal=journal,
        fanout=Fanout(journal),
        router=SimpleNamespace(dialogs={"o1": dialog()}),
        lines={},
        session=nullcontext,
        state=lambda: EmsState(time_ns=1, halted="", down={}, unwatched={}),
    )


@pytest.fixture(autouse=True)
def is_up(monkeypatch):
    monkeypatch.setattr(_ems, "_ems", object())


async def greeted(journal, after_seq=0):
    ctx = Ctx([])
    with pytest.raises(Left):
        await serve_client(
            ctx, ems_over(journal), "", "paper", after_seq, is_back=False
        )
    return ctx.init


async def test_nothing_is_told_before_it_is_on_the_disk(journal, monkeypatch):
    ctx, ems = Ctx([]), ems_over(journal)
    sync = journal.sync

    async def noted_sync():
        assert ems.fanout.clients, "what is told meanwhile goes to nobody"
        await sync()
        ctx.said.append("synced")

    monkeypatch.setattr(journal, "sync", noted_sync)
    with pytest.raises(Left):
        await serve_client(ctx, ems, "", "paper", 0, is_back=False)
    assert ctx.said == ["synced", "started"]
    assert [one.oid for one in ctx.init.dialogs] == ["o1"]
    assert not ems.fanout.clients


@pytest.mark.parametrize(("after_seq", "seqs"), [(0, [1, 2, 3, 4, 5]), (3, [4, 5])])
async def test_what_was_missed_is_told(journal, after_seq, seqs):
    init = await greeted(journal, after_seq)
    assert [one.seq for one in init.missed] == seqs
    assert init.seq == 5


async def test_who_wants_no_news_gets_none(journal):
    init = await greeted(journal, -1)
    assert (init.missed, init.seq) == ((), 5)


async def test_what_is_told_while_the_past_is_read_comes_once(journal, monkeypatch):
    """Nobody waits for the reader: emsd goes on, and tells."""
    from piker.clearing import _clients

    view = _clients.view_journal

    def viewed(path):
        opened = view(path)

        class Late:
            def __enter__(self):
                return opened.__enter__()

            def __exit__(self, *exc):
                journal.write([], [status(6)])
                return opened.__exit__(*exc)

        return Late()

    monkeypatch.setattr(_clients, "view_journal", viewed)
    monkeypatch.setattr(_clients.trio.to_thread, "run_sync", run_here)
    monkeypatch.setattr(_clients, "NEWS_MAX", 4)
    init = await greeted(journal)
    assert [one.seq for one in init.missed] == [3, 4, 5, 6]
    assert init.seq == 6


@pytest.mark.parametrize("after", ["the past was read", "the greeting was made"])
async def test_an_emsd_that_ends_meanwhile_is_gone_and_nothing_else(
    journal, monkeypatch, after
):
    def end():
        journal.close()
        monkeypatch.setattr(_ems, "_ems", None)
        monkeypatch.setattr(_ems, "_had_ems", True)

    calls = 0

    async def run_and_end(func, *args):
        nonlocal calls
        calls += 1
        result = func(*args)
        if after == "the past was read":
            end()
        return result

    sync = journal.sync

    async def end_and_sync():
        end()
        await sync()

    monkeypatch.setattr("piker.clearing._clients.trio.to_thread.run_sync", run_and_end)
    if after != "the past was read":
        monkeypatch.setattr(journal, "sync", end_and_sync)
    with pytest.raises(TransportClosed):
        await serve_client(Ctx([]), ems_over(journal), "", "paper", 0, is_back=False)
    assert calls == 1


async def test_what_is_asked_of_an_emsd_that_has_ended_goes_to_the_next_one(
    journal, monkeypatch
):
    ems = ems_over(journal)
    client = _Client(ems, Origin([].append), None)

    ask, asked = trio.open_memory_channel(1)
    ask.send_nowait(Cancel(oid="o1"))
    journal.close()
    monkeypatch.setattr(_ems, "_ems", None)
    monkeypatch.setattr(_ems, "_had_ems", True)
    with pytest.raises(TransportClosed, match="the next one"):
        await client.obey(asked)


async def run_here(func, *args):
    return func(*args)
