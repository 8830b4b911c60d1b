"""The user's command: what it is told, how often, and that it harms nobody."""

from __future__ import annotations

import logging
import os
import time

import psutil
import pytest
import trio
from hypothesis import given, strategies as st

from piker.clearing import _notify
from piker.clearing._notify import Notice, open_notifier, together, words
from piker.config import ClearingConf

PLAIN = ClearingConf().notify


@pytest.fixture
def script(tmp_path):
    """Write an executable shell script; return its path."""

    def write(body, mode=0o755):
        path = tmp_path / "notify"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(mode)
        return str(path)

    return write


@pytest.fixture
def teller(script, tmp_path, monkeypatch):
    """A command that writes down what it is told, and how to read that."""
    out = tmp_path / "told"
    command = script(f"printf '%s\\0' \"$@\" >> '{out}'")
    monkeypatch.setattr(_notify, "_LAST_S", 20.0)  # a busy machine may take its time

    def told():
        found = out.read_text().split("\0")[:-1] if out.exists() else []
        return list(zip(found[::2], found[1::2], strict=False))

    return (command, "{title}", "{text}"), told


async def until(check, limit_s=20):
    with trio.fail_after(limit_s):
        while not check():
            await trio.sleep(0.02)


# -- words ----------------------------------------------------------------------------


def test_each_place_is_filled_and_no_more():
    made = words(("say", "--app={title}", "{text}!{title}", "{x}"), Notice("a", "b"))
    assert made == ["say", "--app=a", "b!a", "{x}"]


def test_what_is_put_in_is_no_place_and_no_option():
    made = words(PLAIN, Notice("{text}", "-5 of it; $(rm -rf /)"))
    assert made == ["notify-send", "{text}", " -5 of it; $(rm -rf /)"]


@given(st.text(), st.text())
def test_any_text_is_a_word_that_a_command_can_take(title, text):
    made = words(PLAIN, Notice(title, text))
    assert len(made) == 3
    for word in made[1:]:
        assert not word.startswith("-")
        assert "\0" not in word
        os.fsencode(word)
    assert len(made[1]) <= 101
    assert len(made[2]) <= 501


def test_several_are_told_as_one():
    one = Notice("alert", "btc at 5")
    assert together([one]) is one
    some = [Notice("alert", f"btc at {i}") for i in range(12)]
    told = together(some)
    assert told.title == "piker: 12 notices"
    lines = told.text.splitlines()
    assert lines[0] == "4 more, and"
    assert lines[1:] == [f"alert: btc at {i}" for i in range(4, 12)]


# -- running --------------------------------------------------------------------------


async def test_it_is_told_word_by_word(teller):
    command, told = teller
    async with open_notifier(command) as notifier:
        notifier.tell("piker: alert", "btc at \"1\" $HOME `x` 'y' é\n* 2")
        await until(told)
    assert told() == [("piker: alert", "btc at \"1\" $HOME `x` 'y' é\n* 2")]


async def test_a_flood_is_a_notice_in_a_while(teller):
    command, told = teller
    async with open_notifier(command, gap_s=60.0) as notifier:
        began = time.perf_counter()
        for i in range(10_000):
            notifier.tell("alert", str(i))
        assert time.perf_counter() - began < 20
        await until(told)
        for i in range(10):
            notifier.tell("again", str(i))
        await trio.sleep(0.3)
        assert len(told()) == 1
        notifier.tell("last", "one")
    first, rest = told()
    assert first[0] == "piker: 10000 notices"
    assert first[1].splitlines()[0] == "9992 more, and"
    assert first[1].endswith("alert: 9999")
    assert rest[0] == "piker: 11 notices"
    assert rest[1].endswith("last: one"), "told at the end, without the wait"


async def test_a_command_that_hangs_is_killed_with_what_it_started(
    script, tmp_path, caplog
):
    pids = tmp_path / "pids"
    command = (script(f'echo $$ >> "{pids}"; sleep 60 & echo $! >> "{pids}"; wait'),)
    async with open_notifier(command, gap_s=0.0, deadline_s=5.0) as notifier:
        notifier.tell("a", "b")
        await until(lambda: "took longer than 5 s" in caplog.text)
        started = [int(pid) for pid in pids.read_text().split()]
        assert len(started) == 2
        await until(lambda: not any(map(runs, started)))


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_who_leaves_while_it_hangs_waits_a_second_at_most(script, tmp_path):
    pid = tmp_path / "pid"
    command = (script(f'echo $$ > "{pid}"; exec sleep 60'),)
    began = time.perf_counter()
    with trio.fail_after(30):
        async with open_notifier(command, deadline_s=60.0) as notifier:
            notifier.tell("a", "b")
            await until(lambda: pid.exists() and pid.read_text())
            notifier.tell("c", "d")
    assert time.perf_counter() - began < 30
    assert not runs(int(pid.read_text()))


async def test_who_is_cancelled_tells_what_waits(teller):
    command, told = teller
    with trio.CancelScope() as scope:
        async with open_notifier(command) as notifier:
            notifier.tell("piker: unwatched", "nobody watches o1")
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert told() == [("piker: unwatched", "nobody watches o1")]


@pytest.mark.parametrize(
    ("body", "mode", "says"),
    [
        ("exit 3", 0o755, "ended with exit code 3"),
        ("exit 0", 0o644, "can't be run: Permission denied"),
        (None, 0, "can't be run: No such file or directory"),
    ],
)
async def test_what_fails_is_logged_once_and_harms_nobody(
    script, body, mode, says, caplog
):
    path = "/nowhere/notify" if body is None else script(body, mode)
    async with open_notifier((path, "{title}"), gap_s=0.0) as notifier:
        for _ in range(3):
            notifier.tell("a", "b")
            await until(lambda: says in caplog.text)
            await trio.sleep(0.1)
    assert caplog.text.count(says) == 1
    (record,) = [one for one in caplog.records if says in one.message]
    assert record.levelno == logging.WARNING


async def test_without_notify_send_it_is_quiet(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO, "piker.clearing")
    monkeypatch.setenv("PATH", str(tmp_path))
    async with open_notifier(PLAIN) as notifier:
        notifier.tell("a", "b")
        await until(lambda: "can't notify" in caplog.text)
    found = [one for one in caplog.records if "can't notify" in one.message]
    assert [one.levelno for one in found] == [logging.INFO]


async def test_without_a_command_nothing_is_done(monkeypatch):
    monkeypatch.setattr(trio.lowlevel, "open_process", None)
    async with open_notifier(()) as notifier:
        notifier.tell("a", "b")
        await trio.sleep(0.05)
