"""Processes that tests of services start, and what they say."""

from __future__ import annotations

import inspect
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from piker.errors import error_types

REPO = Path(__file__).parents[2]


async def in_thread(func):
    """Call *func* in a thread that a cancel abandons; trio has two words for that."""
    words = inspect.signature(trio.to_thread.run_sync).parameters
    word = "abandon_on_cancel" if "abandon_on_cancel" in words else "cancellable"
    return await trio.to_thread.run_sync(func, **{word: True})


class Proc:
    """A running command."""

    def __init__(self, module: str, *args: str, env: dict[str, str], **kwargs) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", module, *args],
            env=env,
            cwd=REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **kwargs,
        )
        self.pid = self.popen.pid
        self.said = ""

    async def wait(self, deadline_s: float = 10.0) -> int:
        """Wait for its end; return the exit code, all it said is in ``said``."""
        with trio.fail_after(deadline_s):
            while self.popen.poll() is None:
                await trio.sleep(0.01)
        out, err = self.popen.communicate()
        self.said += out.decode() + err.decode()
        return self.popen.returncode

    async def line(self, deadline_s: float = 15.0) -> str:
        """Return the next line of its stdout."""
        with trio.fail_after(deadline_s):
            return (await in_thread(self.popen.stdout.readline)).decode().strip()

    def kill(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


@asynccontextmanager
async def running(module: str, *args: str, env: dict[str, str], **kwargs):
    """Run a command for the length of the block; killed at its end if it still runs."""
    proc = Proc(module, *args, env=env, **kwargs)
    try:
        yield proc
    finally:
        proc.kill()


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
            proc.popen.stdin.write(msgspec.json.encode([what, kwargs]) + b"\n")
            proc.popen.stdin.flush()
            answer = msgspec.json.decode(await proc.line(30))
            if isinstance(answer, dict) and "error" in answer:
                raise error_types()[answer["error"]](answer["text"])
            return answer

        yield call
