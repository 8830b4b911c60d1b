"""The shared ring of bars: who may open it, and with what it may not be confused."""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.shm import shm_folder
from piker.data import _shm_layout
from piker.data._shm import Keys, Marks, ShmArray
from piker.data._shm_layout import (
    HEADER_BYTES,
    W_FQME_LEN,
    W_LAST,
    W_SEQ,
    W_VERSION,
    find_fence,
)
from piker.errors import ShmBusy, ShmError, ShmFull, ShmMismatch
from tests.data._ring import CAPACITY, FQME, bars, open_ring, row, rows_of


@pytest.fixture
def folder() -> Iterator[Path]:
    with shm_folder() as place:
        yield place


def test_there_is_one_writer(folder):
    writer = open_ring(folder / "ring")
    with pytest.raises(ShmBusy, match=f"written by process {os.getpid()};"):
        open_ring(folder / "ring")
    assert ShmArray.attach(writer.token).writer_alive()
    writer.close()
    writer.close()
    assert not ShmArray.attach(writer.token).writer_alive()
    with pytest.raises(ValueError, match="released"):
        writer.append(row(0))
    again = open_ring(folder / "ring")
    assert (again.adoptions, again.repairs) == (2, 0)


def test_an_adopter_goes_on_where_the_buffer_stands(folder):
    writer = open_ring(folder / "ring")
    writer.extend(bars(0, 5))
    writer.rewrite(3, row(3, 1.0), Keys(1, 2, 3, 4), Marks(1, 2, 3))
    array = ShmArray.attach(writer.token)
    writer.close()
    writer = open_ring(folder / "ring")
    assert writer.bounds == (0, 5)
    assert (writer.keys(3), writer.marks) == (Keys(1, 2, 3, 4), Marks(1, 2, 3))
    with pytest.raises(ShmError, match="strictly increase"):
        writer.append(row(4))
    writer.append(row(5))
    assert array.forming() == row(5)


def test_removed_bars_stay_readable(folder):
    writer = open_ring(folder / "ring")
    writer.append(row(0))
    array = ShmArray.attach(writer.token)
    writer.close(remove=True)
    assert not list(folder.iterdir())
    assert array.forming() == row(0)
    with pytest.raises(ShmError, match="open the feed again"):
        ShmArray.attach(writer.token)


@pytest.mark.parametrize("times", [1, 99])
def test_a_file_removed_while_it_is_opened_is_made_again(folder, monkeypatch, times):
    place = folder / "ring"
    open_ring(place).close()
    flock = fcntl.flock
    left = iter(range(times))

    def late_flock(fd, how):
        if how & fcntl.LOCK_EX and next(left, None) is not None:
            place.unlink()  # as its last owner does, before it lets the lock go
        flock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late_flock)
    if times > 10:
        with pytest.raises(ShmError, match="removed again and again"):
            open_ring(place)
        return
    writer = open_ring(place)
    writer.append(row(0))
    assert ShmArray.attach(writer.token).forming() == row(0)


@pytest.mark.parametrize(
    "other",
    [{"fqme": "ethusdt.spot.sim"}, {"period_s": 1}, {"capacity": CAPACITY + 1}],
)
def test_another_market_period_or_capacity_is_refused(folder, other):
    writer = open_ring(folder / "ring")
    token = writer.token
    writer.close()
    with pytest.raises(ShmMismatch, match=f"found one of '{FQME}' with 384 bars of 60"):
        open_ring(folder / "ring", **other)
    with pytest.raises(ShmMismatch, match="remove the file or use another name"):
        ShmArray.attach(_replace(token, **other))
    open_ring(folder / "ring").close()  # the refused one left no lock behind


def _replace(token, **other):
    names = ("path", "fqme", "period_s", "capacity")
    return type(token)(**{**{n: getattr(token, n) for n in names}, **other})


@pytest.mark.parametrize("size", [0, 7, 4096, HEADER_BYTES + 7 * 8 * 512])
def test_garbage_is_refused(folder, size):
    place = folder / "ring"
    place.write_bytes(os.urandom(size))
    with pytest.raises(ShmMismatch, match="found something else"):
        open_ring(place)
    assert place.stat().st_size == size


def test_a_cut_file_and_another_layout_are_refused(folder):
    open_ring(folder / "ring").close()
    whole = (folder / "ring").read_bytes()
    (folder / "cut").write_bytes(whole[:-1])
    with pytest.raises(ShmMismatch, match="damaged"):
        open_ring(folder / "cut")
    changed = bytearray(whole)
    struct.pack_into("q", changed, 8 * W_VERSION, 99)
    (folder / "later").write_bytes(changed)
    with pytest.raises(ShmMismatch, match=r"wanted layout 1 .* found 99"):
        open_ring(folder / "later")
    struct.pack_into("q", changed, 8 * W_VERSION, 1)
    struct.pack_into("q", changed, 8 * W_FQME_LEN, -5)
    (folder / "nameless").write_bytes(changed)
    with pytest.raises(ShmMismatch, match="found one of ''"):
        open_ring(folder / "nameless")


def test_a_folder_that_is_not_there_is_named(folder):
    with pytest.raises(ShmError, match="No such file or directory"):
        open_ring(folder / "nowhere" / "ring")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fqme": "x" * 257}, "1..256 bytes, got 257"),
        ({"fqme": ""}, "1..256 bytes, got 0"),
        ({"capacity": 0}, "capacity of 1.."),
        ({"capacity": 1 << 60}, "capacity of 1.."),
        ({"period_s": 0}, "at least 1 s, got 0"),
    ],
)
def test_impossible_wishes_are_refused(folder, other, said):
    with pytest.raises(ShmError, match=said):
        open_ring(folder / "ring", **other)
    assert not list(folder.iterdir())


def test_long_names_in_any_script_are_kept(folder):
    name = "é" * 128
    writer = open_ring(folder / "ring", fqme=name)
    assert ShmArray.attach(writer.token).fqme == writer.token.fqme == name


def test_no_room_is_an_error_now_and_not_a_bus_error_later(folder):
    total = os.statvfs(folder)
    if not total.f_blocks:
        pytest.skip("this memory file system has no limit")
    rows = 2 * total.f_blocks * total.f_frsize // (7 * 8)
    with pytest.raises(ShmFull, match=r"need \d+\.\d MiB in .*MiB are free"):
        open_ring(folder / "ring", capacity=rows)
    assert not list(folder.iterdir())


def test_a_limit_on_file_sizes_is_told_as_full(folder):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(ShmFull, match="no room for the bars of"):
            open_ring(folder / "ring")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(folder.iterdir())
    open_ring(folder / "ring").close()


def test_every_page_is_reserved_and_no_descriptor_is_inherited(folder):
    place = folder / "ring"
    writer = open_ring(place)
    ShmArray.attach(writer.token).last(1)
    assert place.stat().st_blocks * 512 >= place.stat().st_size
    assert place.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in folder.iterdir()] == ["ring"]
    open_fds = [int(p.name) for p in Path("/proc/self/fd").iterdir()]
    ours = [fd for fd in open_fds if _target(fd) == str(place)]
    assert ours
    assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in ours)


_KILLED = """
import os, sys
from pathlib import Path
from piker.data._shm_file import own

link = os.link
def killed(*args, **kwargs):
    if sys.argv[2] == "after":
        link(*args, **kwargs)
    os._exit(9)

os.link = killed
own(sys.argv[1], "btcusdt.spot.sim", 60, 100)
"""


@pytest.mark.parametrize(("moment", "left"), [("before", []), ("after", ["ring"])])
def test_a_maker_killed_at_any_moment_keeps_no_memory(folder, moment, left):
    place = folder / "ring"
    code = [sys.executable, "-c", _KILLED, str(place), moment]
    assert subprocess.run(code, check=False).returncode == 9
    assert [p.name for p in folder.iterdir()] == left
    writer = open_ring(place, capacity=100)
    assert place.stat().st_nlink == 1
    writer.close(remove=True)
    assert not list(folder.iterdir())


def _target(fd: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        return ""


# -- other machines ----------------------------------------------------------------
def test_a_machine_without_a_fence_is_refused(monkeypatch):
    def no_library(name):
        raise OSError(name)

    monkeypatch.setattr(_shm_layout.ctypes, "CDLL", no_library)
    assert find_fence.__wrapped__("x86_64") is None
    with pytest.raises(ShmError, match=r"need libatomic\.so\.1 on a .* of type 'arm'"):
        find_fence.__wrapped__("arm")


def test_with_a_fence_stores_are_ordered_around_it(folder, monkeypatch):
    events: list[object] = []
    monkeypatch.setattr(_shm_layout, "find_fence", lambda: lambda: events.append("f"))
    writer = open_ring(folder / "ring")
    writer.extend(bars(0, 3))

    class Logged:
        def __init__(self, inner, name):
            self.inner, self.name = inner, name

        def __getitem__(self, i):
            return self.inner[i]

        def __setitem__(self, i, x):
            events.append(i if self.name == "words" else "cell")
            self.inner[i] = x

    writer._words = Logged(writer._words, "words")
    writer._columns = tuple(Logged(c, "column") for c in writer._columns)
    events.clear()
    writer.append(row(3))
    assert events == ["cell"] * 7 + ["f", W_LAST]
    events.clear()
    writer.rewrite(3, row(3, 1.0), Keys(), Marks())
    assert events == ["f", W_SEQ, "f", *["cell"] * 6, "f", W_SEQ]
    array = ShmArray.attach(writer.token)
    events.clear()
    assert rows_of(array.last(2)) == [row(2), row(3, 1.0)]
    assert array.forming() == row(3, 1.0)
    assert array.view(1).unchanged()
    assert array.since(180).start == 3
    assert len(events) >= 8


def test_libatomic_is_a_fence_where_it_is_installed():
    try:
        fence = find_fence.__wrapped__("aarch64")
    except ShmError:
        pytest.skip("libatomic isn't installed")
    assert fence() is None


def test_mapping_a_buffer_needs_no_write_access(folder):
    writer = open_ring(folder / "ring")
    (folder / "ring").chmod(0o400)
    array = ShmArray.attach(writer.token)
    with pytest.raises(TypeError, match="read-only"):
        array._map.words[W_SEQ] = 1
    assert repr(array) == f"<ShmArray {FQME} 60s bars 0..0>"
    assert (array.capacity, array.period_s, array.epoch) == (CAPACITY, 60, 0)
