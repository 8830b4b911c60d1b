"""How commands run: where errors become sentences and exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from piker.errors import PikerError

INTERRUPTED = 130


def _flat(err: BaseException) -> list[BaseException]:
    if isinstance(err, BaseExceptionGroup):
        return [leaf for sub in err.exceptions for leaf in _flat(sub)]
    return [err]


@contextmanager
def guarded(*, verbose: bool = False) -> Iterator[None]:
    """Turn what goes wrong in the block into one sentence and an exit code.

    Errors of ours say what to do, their class says the code; Ctrl-C is 130; anything
    else is a fault of piker and says so. The traceback is shown with *verbose* only.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except BaseException as err:
        found = _flat(err)
        if verbose and not any(isinstance(e, KeyboardInterrupt) for e in found):
            traceback.print_exception(err)
        if any(isinstance(e, KeyboardInterrupt) for e in found):
            raise typer.Exit(INTERRUPTED) from None
        ours = [e for e in found if isinstance(e, PikerError)]
        if ours:
            typer.echo(f"error: {ours[0]}", err=True)
            raise typer.Exit(ours[0].exit_code) from None
        if isinstance(found[0], BrokenPipeError):
            raise typer.Exit(0) from None
        typer.echo(
            f"error: a fault of piker itself: {found[0]!r}; -v shows the traceback",
            err=True,
        )
        raise typer.Exit(1) from None


def use_config_dir(folder: Path | None) -> None:
    """Use *folder* for config from now on, if one was given."""
    if folder is None:
        return
    from msgspec.structs import replace

    from piker import config

    dirs = config.current_dirs()
    config.use_dirs(replace(dirs, config=str(folder.expanduser().absolute())))
