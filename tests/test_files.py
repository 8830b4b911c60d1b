"""A file is there as a whole, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Thread

import pytest

from piker.files import put_whole

either = pytest.mark.parametrize("durable", [True, False])


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "told.json"
    path.write_bytes(b"old")
    return path


def files(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


@either
def test_a_file_is_made_and_replaced(path, durable):
    put_whole(path, memoryview(b"new"), durable=durable)
    other = path.with_name("other")
    put_whole(other, b"", durable=durable, mode=0o600)
    assert files(path) == {"told.json": b"new", "other": b""}
    assert other.stat().st_mode & 0o777 == 0o600


@either
@pytest.mark.parametrize("step", ["write", "replace"])
def test_what_can_not_be_written_leaves_the_file_as_it_was(
    path, monkeypatch, durable, step
):
    def fail(*_):
        raise OSError(errno.ENOSPC, "no space left")

    if step == "replace":
        monkeypatch.setattr(Path, "replace", fail)
        raw = b"new"
    else:
        raw = "no bytes"
    with pytest.raises((OSError, TypeError)):
        put_whole(path, raw, durable=durable)
    assert files(path) == {"told.json": b"old"}


@either
def test_a_durable_one_is_on_the_disk_before_it_has_its_name(
    path, monkeypatch, durable
):
    synced = []

    def fsync(fd):
        place = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append((place.is_dir(), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    put_whole(path, b"new", durable=durable)
    assert synced == ([(False, b"old"), (True, b"new")] if durable else [])


def test_several_may_write_at_once(path):
    whole = [bytes([n]) * 100_000 for n in range(4)]

    def write(raw):
        for _ in range(50):
            put_whole(path, raw, durable=False)

    writers = [Thread(target=write, args=(raw,)) for raw in whole]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in {b"old", *whole}
    assert files(path)["told.json"] in whole
    assert len(files(path)) == 1
