"""A tree's folders and address for real pikerd processes, and what is left there."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from piker.service import open_piker_runtime, probe, running_info
from piker.testing import free_port, private_dirs
from tests.service._procs import Proc, client, running


class Place:
    """Where one pikerd at a time may run."""

    def __init__(self, folder: Path, conf: str = "", port: int = 0) -> None:
        self.folder, self.conf = folder, conf
        self.addr = ("127.0.0.1", port or free_port())
        self.registry = f"{self.addr[0]}:{self.addr[1]}"
        with self.dirs() as dirs:
            self.env = {
                **os.environ,
                "PIKER_REGISTRY": self.registry,
                "PIKER_CONFIG_DIR": dirs.config,
                "PIKER_STATE_DIR": dirs.state,
                "PIKER_CACHE_DIR": dirs.cache,
                "PIKER_RUNTIME_DIR": dirs.runtime,
            }

    def dirs(self):
        """Use the place's folders in this process for the block."""
        return private_dirs(self.folder, self.conf)

    def start(self, *args: str, **kwargs):
        """Start a pikerd here for the length of the block; don't wait for it."""
        return running(
            "tests.service.toy_pikerd",
            "-r",
            self.registry,
            *args,
            env=self.env,
            **kwargs,
        )

    @asynccontextmanager
    async def pikerd(self, *args: str, **kwargs):
        """Run a pikerd here for the length of the block."""
        async with self.start(*args, **kwargs) as proc:
            await self.up(proc)
            yield proc

    async def up(self, proc: Proc) -> None:
        with trio.fail_after(25):
            # one that listens may be too busy to answer yet
            while (found := await probe(self.addr)) is None or found[0] != "pikerd":
                assert proc.popen.poll() is None, (await proc.wait(), proc.said)
                await trio.sleep(0.02)

    def client(self, *args: str):
        """A client process, see ``toy_client``."""
        return client(*args, env=self.env)

    @asynccontextmanager
    async def attached(self, name: str = "test"):
        """This process as a client."""
        with self.dirs():
            async with open_piker_runtime(name, self.addr):
                yield

    @property
    def info(self) -> dict:
        """What the pikerd here wrote of itself."""
        with self.dirs():
            return running_info(self.addr)

    @property
    def shm(self) -> Path:
        return Path(self.info["shm"])

    async def left(self, *shm: Path) -> list[str]:
        """What is here although no pikerd is: files, buffers, a listener."""
        run = Path(self.env["PIKER_RUNTIME_DIR"])
        found = [p.name for p in run.iterdir() if p.suffix != ".lock"]
        found += [str(p) for p in shm if p.exists()]
        if await probe(self.addr) is not None:
            found.append(f"listener at {self.registry}")
        return found


def said_once(proc: Proc) -> str:
    """The one sentence a command said."""
    lines = proc.said.strip().splitlines()
    assert len(lines) == 1, proc.said
    assert lines[0].startswith("error: ")
    return lines[0].removeprefix("error: ")
