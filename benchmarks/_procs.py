"""Processes of a benchmark: piker trees, bare trees, clients of either; all bounded."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import psutil

from piker import config

ROOT: Final = Path(__file__).resolve().parents[1]
UP_DEADLINE_S: Final = 30.0
SAY_DEADLINE_S: Final = 60.0
DOES_DEADLINE_S: Final = 600.0
END_DEADLINE_S: Final = 12.0

#: Text for ``conf.toml`` of trees whose own says nothing of data: nothing, as users
#: have it.
DATA_CONF = ""

Addr = tuple[str, int]


class BenchmarkError(RuntimeError):
    """A process of a benchmark did not do its part."""


def free_addr() -> Addr:
    """Return a loopback address nobody listens at now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


@contextmanager
def on_disk(name: str) -> Iterator[Path]:
    """Yield a folder on a disk, which /tmp need not be, for the benchmark *name*."""
    near = config.cache_dir()
    near.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=near, prefix=f"bench-{name}.") as disk:
        yield Path(disk)


def start(
    argv: Sequence[str], env: Mapping[str, str], errors: BinaryIO
) -> subprocess.Popen[bytes]:
    """Start ``python -m ARGV``, a fresh interpreter; its stdin and stdout are pipes."""
    env = {**env, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # a daemon's start is measured warm
    return subprocess.Popen(
        [sys.executable, "-m", *argv],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )


@dataclass(eq=False)
class Program:
    """A process that speaks JSON lines (see ``_speak``) or none at all.

    Attributes:
      argv: what follows ``python -m``.
      env: added to this process's environment.
      began_ns: ``CLOCK_MONOTONIC`` when it was started.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    began_ns: int = 0

    def __post_init__(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self.began_ns = time.monotonic_ns()
        self._proc = start(self.argv, {**os.environ, **self.env}, self._errors)
        self._rest = b""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._proc.pid

    def hear(self, deadline_s: float = SAY_DEADLINE_S) -> dict[str, Any]:
        """Return the next thing it says; BenchmarkError if it says nothing."""
        assert self._proc.stdout is not None
        source = self._proc.stdout.fileno()
        until = time.monotonic() + deadline_s
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([source], [], [], left)[0]:
                raise BenchmarkError(f"{self._name} said nothing in {deadline_s:g} s")
            got = os.read(source, 1 << 20)
            if not got:
                raise BenchmarkError(f"{self._name} ended: {self._last_words()}")
            self._rest += got
        line, self._rest = self._rest.split(b"\n", 1)
        return json.loads(line)

    def hear_key(self, key: str, deadline_s: float = SAY_DEADLINE_S) -> Any:
        """Return the value it next says under *key*; what else it says is skipped."""
        until = time.monotonic() + deadline_s
        while key not in (said := self.hear(until - time.monotonic())):
            pass
        return said[key]

    def tell(self, what: Any) -> None:
        """Say something to it."""
        assert self._proc.stdin is not None
        self._proc.stdin.write(json.dumps(what).encode() + b"\n")
        self._proc.stdin.flush()

    def does(self, what: str, **kwargs: Any) -> Any:
        """Have a program that does what it is told do something; return what it took.

        It hears ``[what, kwargs]`` and says ``took``.
        """
        self.tell([what, kwargs])
        return self.hear_key("took", DOES_DEADLINE_S)

    def wait_listening(self, addr: Addr) -> int:
        """Wait until it listens at *addr*; return the monotonic ns of that."""
        until = time.monotonic() + UP_DEADLINE_S
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(addr, 1.0):
                return time.monotonic_ns()
            if self._proc.poll() is not None:
                raise BenchmarkError(f"{self._name} ended: {self._last_words()}")
            time.sleep(0.002)
        raise BenchmarkError(f"{self._name} does not listen at {addr}")

    def children(self) -> list[psutil.Process]:
        """Return its living descendants."""
        with suppress(psutil.Error):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def child(self, actor: str) -> psutil.Process:
        """Return the process of the actor called *actor* below it."""
        for proc in self.children():
            with suppress(psutil.Error):
                if actor in " ".join(proc.cmdline()):
                    return proc
        raise BenchmarkError(f"{self._name} has no actor {actor!r}")

    def end(self) -> None:
        """End it and all below it: by its stdin and SIGTERM, then by SIGKILL."""
        below = self.children()
        assert self._proc.stdin is not None
        assert self._proc.stdout is not None
        is_piker = self.argv[0].startswith("piker.")
        try:
            with suppress(OSError):
                self._proc.stdin.close()
            if is_piker:
                self._proc.send_signal(signal.SIGTERM)
            try:
                self._proc.wait(END_DEADLINE_S)
            except subprocess.TimeoutExpired:
                self._proc.kill()
                self._proc.wait()
            self._proc.stdout.close()
            self._errors.close()
        finally:  # bare actors outlive their root, for ever
            _, left = psutil.wait_procs(below, timeout=4 if is_piker else 0)
            for proc in left:
                proc.kill()

    @property
    def _name(self) -> str:
        return " ".join(self.argv[:2])

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-2000:]


@contextmanager
def running(program: Program) -> Iterator[Program]:
    """Yield a program; end it with the block."""
    try:
        yield program
    finally:
        program.end()


@dataclass(frozen=True)
class Tree:
    """A running tree of either kind.

    Attributes:
      addr: of its registry.
      root: its first process.
      env: for its clients.
      up_ns: monotonic ns when the root listened.
      clients: module of their programs.
    """

    addr: Addr
    root: Program
    env: Mapping[str, str]
    up_ns: int
    clients: str

    @contextmanager
    def client(self, what: str, **told: Any) -> Iterator[Program]:
        """Yield a client process of this tree, running program *what*."""
        argv = (self.clients, what, json.dumps({"addr": self.addr, **told}))
        with running(Program(argv, self.env)) as program:
            yield program

    @contextmanager
    def program(self, module: str, what: str, **told: Any) -> Iterator[Program]:
        """Yield a client process of this tree that is a program of another module."""
        argv = (module, what, json.dumps(told))
        with running(Program(argv, self.env)) as program:
            yield program


@contextmanager
def piker_tree(conf: str = "", at: Path | None = None) -> Iterator[Tree]:
    """Yield a fresh pikerd in a process of its own, with *conf* as ``conf.toml``.

    Args:
      conf: its text.
      at: where all its files are, to be there the next time; else nowhere for long.
    """
    addr = free_addr()
    with tempfile.TemporaryDirectory(prefix="piker-bench-") as passing:
        folder = at or Path(passing)
        env = {"PIKER_REGISTRY": f"{addr[0]}:{addr[1]}"}
        for kind in ("config", "state", "cache", "runtime"):
            place = folder / kind
            place.mkdir(mode=0o700, exist_ok=True)
            env[f"PIKER_{kind.upper()}_DIR"] = str(place)
        # a benchmark that is killed leaves no pikerd for long
        text = f"[pikerd]\nidle_exit_s = 60\n{conf}"
        text += "" if "[data]" in conf else DATA_CONF
        (folder / "config" / "conf.toml").write_text(text)
        argv = ("piker.cli.pikerd", "--idle-exit", "--registry", env["PIKER_REGISTRY"])
        with running(Program(argv, env)) as root:
            up_ns = root.wait_listening(addr)
            yield Tree(addr, root, env, up_ns, "benchmarks._client")


@contextmanager
def bare_tree(what: str, **told: Any) -> Iterator[Tree]:
    """Yield a tree of bare tractor actors, see ``_bare``, its root doing *what*."""
    addr = free_addr()
    argv = ("benchmarks._bare", what, json.dumps({"addr": addr, **told}))
    with running(Program(argv)) as root:
        up_ns = root.wait_listening(addr)
        yield Tree(addr, root, {}, up_ns, "benchmarks._bare")
