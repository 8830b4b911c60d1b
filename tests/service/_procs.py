"""Processes that tests of services start, and what they say."""

from __future__ import annotations

import inspect
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from piker.errors import error_types
from piker.testing._commands import open_command

REPO = Path(__file__).parents[2]


async def in_thread(func):
    """Call *func* in a thread that a cancel abandons; trio has two words for that."""
    words = inspect.signature(trio.to_thread.run_sync).parameters
    word = "abandon_on_cancel" if "abandon_on_cancel" in words else "cancellable"
    return await trio.to_thread.run_sync(func, **{word: True})


class Proc:
    """A running command; ``popen`` is its process."""

    def __init__(self, popen: trio.Process) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.said = ""
        self._rest = b""

    async def wait(self, deadline_s: float = 10.0) -> int:
        """Wait for its end; return the exit code, all it said is in ``said``."""
        told = {"out": self._rest, "err": b""}

        async def read(name: str, stream) -> None:
            while more := await stream.receive_some(65536):
                told[name] += more

        with trio.fail_after(deadline_s):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(read, "out", self.popen.stdout)
                tasks.start_soon(read, "err", self.popen.stderr)
                await self.popen.wait()
        self._rest = b""
        self.said += told["out"].decode() + told["err"].decode()
        return self.popen.returncode

    async def line(self, deadline_s: float = 15.0) -> str:
        """Return the next line of its stdout, empty if it has ended."""
        with trio.fail_after(deadline_s):
            while b"\n" not in self._rest:
                more = await self.popen.stdout.receive_some(65536)
                if not more:
                    break
                self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode().strip()

    async def tell(self, text: bytes) -> None:
        """Write to its stdin."""
        await self.popen.stdin.send_all(text)

    async def kill(self) -> None:
        """Kill it if it still runs, and close what is open of it."""
        with trio.CancelScope(shield=True):
            if self.popen.poll() is None:
                self.popen.kill()
            await self.popen.wait()
            for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
                await stream.aclose()


@asynccontextmanager
async def running(module: str, *args: str, env: dict[str, str], **kwargs):
    """Run a command for the length of the block; killed at its end if it still runs."""
    proc = Proc(
        await open_command(
            *args,
            env=env,
            module=module,
            cwd=REPO,
            files=[subprocess.PIPE] * 3,
            **kwargs,
        )
    )
    try:
        yield proc
    finally:
        await proc.kill()


def client(*args: str, env: dict[str, str]):
    return running("tests.service.toy_client", *args, env=env)


@asynccontextmanager
async def caller(env: dict[str, str], name: str = "caller"):
    """Yield a function that calls an endpoint of pikerd from a process of its own.

    An embedded pikerd can't be asked by the process it is in: errors of calls to
    itself get lost in the release of tractor.
    """
    async with client("calls", name, env=env) as proc:
        assert await proc.line() == "ready"

        async def call(what: str, **kwargs):
            await proc.tell(msgspec.json.encode([what, kwargs]) + b"\n")
            answer = msgspec.json.decode(await proc.line(30))
            if isinstance(answer, dict) and "error" in answer:
                raise error_types()[answer["error"]](answer["text"])
            return answer

        yield call
