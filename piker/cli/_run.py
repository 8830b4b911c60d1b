"""How commands run: where errors become sentences and exit codes.

    argv --> [SaysIt.main: usage] --> [SaysIt.invoke: guarded()] --> command

Nothing heavy is imported here: every command pays for it, ``piker --help`` too.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from piker.errors import PikerError

from ._typed import leave_text_alone

if TYPE_CHECKING:
    from piker.service import Addr

INTERRUPTED = 130
USAGE = 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: After a signal; all that ends is bounded by itself, this is for what is forgotten.
END_DEADLINE_S = 15.0

T = TypeVar("T")

leave_text_alone()


class OutputClosed(Exception):
    """Who read our output has left.

    Not a BrokenPipeError: within a call to another actor that would read as the end
    of the connection to it.
    """


#: Options of ``piker`` itself, which people also write behind the command.
_ROOT_OPTIONS = ("--registry", "-r", "--config-dir", "-c", "--verbose", "-v")


@dataclass(frozen=True)
class Options:
    """What stands before the command.

    Attributes:
      registry: ``HOST:PORT`` as typed, None for the configured one.
      config_dir: folder of ``conf.toml``, None for the usual one.
      verbose: show tracebacks, and logs on stderr.
    """

    registry: str | None = None
    config_dir: Path | None = None
    verbose: bool = False


def options_of(ctx: typer.Context) -> Options:
    """Return what stood before the command."""
    return ctx.find_object(Options) or Options()


def is_usage_error(err: BaseException) -> bool:
    """Tell whether the command-line parser raised *err*."""
    # By its shape: some releases of typer bring a click of their own.
    return hasattr(err, "format_message") and hasattr(err, "show")


def _flat(err: BaseException) -> list[BaseException]:
    if isinstance(err, BaseExceptionGroup):
        return [leaf for sub in err.exceptions for leaf in _flat(sub)]
    return [err]


@contextmanager
def guarded(*, verbose: bool = False) -> Iterator[None]:
    """Turn what goes wrong in the block into one sentence and an exit code.

    Errors of ours say what to do, their class says the code; Ctrl-C is 130; a reader
    of our output that left is no error; anything else is a fault of piker and says
    so. The traceback is shown with *verbose* only.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except BaseException as err:
        found = _flat(err)
        if is_usage_error(err):
            raise
        if exits := [e for e in found if isinstance(e, typer.Exit)]:
            raise exits[0] from None
        if any(isinstance(e, KeyboardInterrupt) for e in found):
            raise typer.Exit(INTERRUPTED) from None
        if any(isinstance(e, BrokenPipeError | OutputClosed) for e in found):
            let_go_of_stdout()
            raise typer.Exit(0) from None
        if full := [e for e in found if is_full(e)]:
            raise typer.Exit(_cant_write(full[0])) from None
        if verbose:
            traceback.print_exception(err)
        raise typer.Exit(_say(found)) from None


def _say(found: list[BaseException]) -> int:
    """Say the one thing of *found* that helps most; return the exit code."""
    ours = [e for e in found if isinstance(e, PikerError)]
    if ours:
        say(f"error: {ours[0]}")
        return ours[0].exit_code
    say(f"error: a fault of piker itself: {found[0]!r}; -v shows the traceback")
    return 1


def let_go_of_stdout() -> None:
    """Send what is still to be written nowhere: who read it has left."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def is_full(err: BaseException) -> bool:
    """Tell whether *err* says that something, e.g. stdout, takes no more."""
    return isinstance(err, OSError) and err.errno in _FULL


def _cant_write(err: BaseException) -> int:
    assert isinstance(err, OSError)
    let_go_of_stdout()
    where = f" {err.filename}" if err.filename else ""
    say(f"error: can't write{where}: {err.strerror}; free some space, then try again")
    return 1


def fill_standard_streams() -> None:
    """Open what was closed of stdin, stdout and stderr, as nowhere.

    Else the next files and sockets get their numbers, and what is printed.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, "r+", encoding="utf-8"))


class _SaysIt:
    """Mixed into the two root commands: whatever goes wrong is one sentence."""

    #: What stands for no arguments at all.
    bare_args: ClassVar[list[str]] = []

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        del standalone_mode, windows_expand_args
        extra |= {"prog_name": prog_name, "complete_var": complete_var}
        fill_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError):  # a table must not fail on an odd terminal
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        args = list(sys.argv[1:] if args is None else args) or self.bare_args
        run = partial(super().main, args, standalone_mode=False, **extra)  # type: ignore[misc]
        code = _exit_code(run) if _stands_somewhere() else 1
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            let_go_of_stdout()
        except OSError as err:
            code = _cant_write(err)
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        with guarded(verbose=bool(ctx.params.get("verbose"))):
            return super().invoke(ctx)  # type: ignore[misc]


def _stands_somewhere() -> bool:
    """Tell whether there is a current folder, and say so if not: imports need one."""
    try:
        os.getcwd()
    except FileNotFoundError:
        say("error: the current folder was removed: cd to one that exists")
        return False
    return True


def _exit_code(run: Callable[[], Any]) -> int:
    try:
        code = run()
    except typer.Abort:
        return INTERRUPTED
    except Exception as err:
        if is_full(err):  # of --help, which comes before any command
            return _cant_write(err)
        if not is_usage_error(err):
            raise
        say(f"error: {_usage_sentence(err)}")
        return USAGE
    return code if isinstance(code, int) else 0


def _usage_sentence(err: Any) -> str:
    text = " ".join(err.format_message().split()).rstrip(".?")
    text = text[:1].lower() + text[1:].replace(". Did you", "; did you")
    if getattr(err, "option_name", None) in _ROOT_OPTIONS and "no such" in text:
        return f"{text}; it goes before the command: piker {err.option_name} ..."
    ctx = getattr(err, "ctx", None)
    return f"{text}; see `{ctx.command_path} --help`" if ctx else text


class RootGroup(_SaysIt, TyperGroup):
    """``piker``."""

    bare_args: ClassVar[list[str]] = ["--help"]


class RootCommand(_SaysIt, TyperCommand):
    """``pikerd``."""


def use_config_dir(folder: Path | None) -> None:
    """Use *folder* for config from now on, if one was given."""
    if folder is None:
        return
    from msgspec.structs import replace

    from piker import config

    dirs = config.current_dirs()
    config.use_dirs(replace(dirs, config=str(folder.expanduser().absolute())))


def settle(options: Options) -> Addr:
    """Apply what stood before the command; return where the registry is.

    Raises UsageError; ConfigError.
    """
    from piker import config
    from piker.log import setup_logging

    use_config_dir(options.config_dir)
    level = "debug" if options.verbose else "warning"
    setup_logging("piker", level, console=options.verbose, file=None)
    return config.registry_addr(options.registry)


def run_async(
    options: Options, work: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    """Run ``work(addr, *args, **kwargs)``; *addr* is where the registry is."""
    import trio

    return trio.run(until_told, partial(work, settle(options), *args, **kwargs))


async def until_told(
    work: Callable[[], Awaitable[T]], end: Callable[[str], bool] | None = None
) -> T:
    """Do *work*; Ctrl-C, SIGTERM and SIGHUP end it in order.

    Ctrl-C as an exception would come up in any task, a second one in the middle of the
    orderly end, which is bounded instead. A signal that is ignored, as SIGHUP is under
    nohup, stays so.

    Args:
      work: what to do; it is cancelled.
      end: called first with why; True if that ends *work*, which needn't be cancelled.

    Raises KeyboardInterrupt after Ctrl-C, typer.Exit after another signal.
    """
    import trio

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = [sig for sig in wanted if signal.getsignal(sig) is not signal.SIG_IGN]
    got: list[int] = []
    scope = trio.CancelScope()

    async def watch(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        with trio.open_signal_receiver(*heard) as signals:
            task_status.started()
            async for number in signals:
                got.append(number)
                if len(got) > 1:
                    continue
                timer.args = (128 + number,)
                timer.start()
                if end is None or not end(signal.Signals(number).name):
                    scope.cancel()

    timer = threading.Timer(END_DEADLINE_S, os._exit)
    timer.daemon = True
    try:
        async with trio.open_nursery() as tasks:
            await tasks.start(watch)
            with scope:
                result = await work()
            tasks.cancel_scope.cancel()
        if not got:
            return result
    except (PikerError, ExceptionGroup):
        if not got:  # else it is about something that was torn down by then
            raise
    finally:
        timer.cancel()
    if got[0] == signal.SIGINT:
        raise KeyboardInterrupt
    raise typer.Exit(128 + got[0])


def say(text: str) -> None:
    """Tell the user something that is not part of the output, if stderr takes it."""
    with suppress(OSError):
        typer.echo(text, err=True)


def print_version(wanted: bool) -> None:
    """Say which piker this is, and end."""
    if wanted:
        from importlib.metadata import version

        typer.echo(f"piker {version('piker')}")
        raise typer.Exit
