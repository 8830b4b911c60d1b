"""Commands run as a user runs them: in a process of their own."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

from piker.testing._commands import open_command

DEADLINE_S = 40.0


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which is to be one line of JSON."""
        assert self.out.endswith("\n"), self
        assert self.out.count("\n") == 1, self
        return json.loads(self.out)

    def refused(self, code: int, *words: str) -> None:
        """Check that it printed nothing but one sentence with *words* on stderr."""
        assert self.code == code, self
        assert not self.out, self
        assert self.err.startswith("error: "), self
        assert self.err.count("\n") == 1, self
        assert all(word in self.err for word in words), self


async def run(*args: object, env: dict[str, str], **how: Any) -> Said:
    """Run ``piker ARGS`` to its end, see :func:`start`."""
    async with start(*args, env=env, **how) as command:
        out, errors = await command.rest()
        return Said(await command.proc.wait(), out, errors)


class Running:
    """A command that goes on."""

    def __init__(self, proc: trio.Process) -> None:
        self.proc = proc
        self._rest = b""
        self._errors = b""

    async def line(self) -> str:
        """Return its next line of output."""
        with trio.fail_after(DEADLINE_S):
            while b"\n" not in self._rest:
                more = await self.proc.stdout.receive_some(65536)
                assert more, f"it ended: {await self.errors()}"
                self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    async def error_line(self) -> str:
        """Return its next line on stderr."""
        with trio.fail_after(DEADLINE_S):
            while b"\n" not in self._errors:
                more = await self.proc.stderr.receive_some(65536)
                assert more, f"it ended: {self._errors!r}"
                self._errors += more
        line, _, self._errors = self._errors.partition(b"\n")
        return line.decode()

    async def rest(self) -> tuple[str, str]:
        """Return what else it says on stdout and stderr; waits for its end."""
        told = {"out": self._rest, "errors": self._errors}

        async def hear(name: str, stream: trio.abc.ReceiveStream) -> None:
            async for chunk in stream:
                told[name] += chunk

        with trio.fail_after(DEADLINE_S):
            async with trio.open_nursery() as tasks:
                tasks.start_soon(hear, "out", self.proc.stdout)
                tasks.start_soon(hear, "errors", self.proc.stderr)
        return told["out"].decode(), told["errors"].decode()

    async def errors(self) -> str:
        """Return all it says on stderr from now on; waits for its end."""
        text = self._errors
        async for chunk in self.proc.stderr:
            text += chunk
        return text.decode()

    async def end(self, sign: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Signal it; return its exit code and what it said on stderr."""
        self.proc.send_signal(sign)
        with trio.fail_after(DEADLINE_S):
            errors = await self.errors()
            return await self.proc.wait(), errors


@asynccontextmanager
async def start(
    *args: object, env: dict[str, str], **how: Any
) -> AsyncIterator[Running]:
    """Run ``piker ARGS`` for the length of the block; it is killed if it goes on.

    Args:
      env: its whole environment.
      how: see :func:`open_command`.
    """
    proc = await open_command(*args, env=env, **how)
    try:
        yield Running(proc)
    finally:
        if proc.poll() is None:
            proc.kill()
        with trio.CancelScope(shield=True):
            await proc.wait()
            await proc.stdout.aclose()
            await proc.stderr.aclose()
