"""Commands of tests, forked off a server that has the code of all of them.

`python -m piker` and other modules, children of a test like any it starts. What is
tested of a fresh interpreter (what it loads, its own memory, how long it takes) is run
as one: ``anew=True``.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import trio

from piker._forkserver import fork_own
from piker.service._spec import PRELOAD

from ._forks import BASE, Forks

if TYPE_CHECKING:
    from piker._forkserver import Order

_CLI: Final = (
    "_app", "_board", "_orders", "_positions", "_run", "_show", "brokers", "halt",
    "ledger", "orders", "pikerd", "quotes", "record", "search", "services", "store",
)  # fmt: skip
#: Commands that may open a tree of their own, for a look.
_OWN_TREES: Final = (["brokers"], ["ledger"])
_FORKS: Final = Forks(
    runs=__name__,
    first=(
        *BASE.first,
        *(f"piker.cli.{name}" for name in _CLI),
        *("piker.service", "piker.clearing", "piker.data", "piker.brokers"),
        *("piker.accounting", "piker.storage", "numpy"),
        *("typer._adapters", "rich.progress"),
    ),
    base=BASE,
)


def forked_commands() -> AbstractContextManager[None]:
    """Fork the commands started in the block, most of them."""
    return _FORKS.wanted()


async def open_command(
    *args: object,
    env: Mapping[str, str],
    module: str = "piker",
    cwd: Path | None = None,
    anew: bool = False,
    is_session: bool = False,
    files: Sequence[int] = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE),
) -> trio.Process:
    """Start ``python -m MODULE ARGS``.

    Args:
      args: its command line, as text.
      env: its whole environment.
      module: what is run.
      cwd: its working directory, this process's if None.
      anew: it is a fresh interpreter, and no fork.
      is_session: it leads a session of its own, as a terminal's shell does; *anew*.
      files: its stdin, stdout and stderr: numbers of files, or `subprocess`'s words.
    """
    argv = [module, *map(str, args)]
    command = [sys.executable, "-m", *argv]
    if anew or is_session:
        return await trio.lowlevel.open_process(
            command, stdin=files[0], stdout=files[1], stderr=files[2], env=env, cwd=cwd,
            start_new_session=is_session,
        )  # fmt: skip
    return await _FORKS.open_process(
        "test", argv, anew=command, files=files, env=env, cwd=cwd
    )


def prepare(order: Order) -> None:
    """Make what reads the command line of `piker`: forks have it."""
    if order.args[:1] == ["piker"]:
        from piker.cli._app import command

        command()


def run_child() -> NoReturn:
    """Be ``python -m`` of the command line in ``sys.argv``; ends this process."""
    _, module, *rest = sys.argv
    sys.argv = [module, *rest]
    if rest[:1] in _OWN_TREES:
        fork_own(PRELOAD)  # its own server would import what is here
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        _open_again(name, mode)
    if module != __package__.partition(".")[0]:
        sys.modules.pop(module, None)  # it is run, not imported
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except Exception:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def _open_again(name: str, mode: str) -> None:
    """Open a standard file as an interpreter does: the server's was another kind."""
    had = getattr(sys, name)
    file = open(  # noqa: SIM115 - for the rest of this process
        had.fileno(),
        mode,
        buffering=1 if name == "stderr" else -1,
        encoding=had.encoding,
        errors=had.errors,
        closefd=False,
    )
    setattr(sys, name, file)
    setattr(sys, f"__{name}__", file)
