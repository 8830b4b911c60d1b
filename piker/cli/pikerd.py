"""``pikerd``: be the root of a tree until told to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from piker.cli._run import RootCommand, print_version, say, use_config_dir

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=RootCommand, context_settings={"help_option_names": ["--help", "-h"]})
def pikerd(
    registry: Annotated[
        str | None,
        typer.Option("--registry", "-r", metavar="HOST:PORT", help="Where to listen."),
    ] = None,
    config_dir: Annotated[
        Path | None,
        typer.Option("--config-dir", "-c", metavar="DIR", help="Where conf.toml is."),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            "--log-level", "-l", metavar="LEVEL", help="debug, info, warning..."
        ),
    ] = None,
    idle_exit: Annotated[
        bool,
        typer.Option("--idle-exit", help="End after a while without clients."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tracebacks, debug logs.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=print_version, is_eager=True, help="Which piker."
        ),
    ] = False,
) -> None:
    """Run the root of the actor tree: it supervises the daemons, clients attach to it.

    It stays in the foreground, logs to stderr and to files, and ends with all of its
    daemons on SIGTERM, exit code 0, or Ctrl-C, 130.
    """
    _pikerd(registry, config_dir, log_level, idle_exit=idle_exit, verbose=verbose)


def _pikerd(
    registry: str | None,
    config_dir: Path | None,
    log_level: str | None,
    *,
    idle_exit: bool,
    verbose: bool,
) -> None:
    """Check the configuration first, so that a wrong one starts nothing."""
    from piker import config
    from piker.service import fork_daemons_off_me

    fork_daemons_off_me()
    use_config_dir(config_dir)
    conf = config.load_config()
    config.check_secrets_file()
    addr = config.registry_addr(registry)
    level = log_level or ("debug" if verbose else conf.log.level)
    folder = config.make_private(config.make_private(config.state_dir()) / "log")
    # Whom a client started in the background has nobody at stderr, only a file that
    # would grow for ever.
    _log_to(folder, level, console=verbose or not idle_exit or sys.stderr.isatty())
    idle_exit_s = conf.pikerd.idle_exit_s if idle_exit else None
    _run(addr, idle_exit_s, level, folder)


def _log_to(folder: Path, level: str, *, console: bool) -> None:
    import faulthandler
    import signal

    from piker.log import setup_logging

    setup_logging("pikerd", level, console=console, file=folder / "pikerd.log")
    stacks = (folder / "pikerd.stacks").open("w", encoding="utf-8")
    faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)


def _run(
    addr: tuple[str, int], idle_exit_s: float | None, level: str, folder: Path
) -> None:
    import trio

    from piker import config
    from piker.process import be_started
    from piker.service import run_pikerd

    def up() -> None:
        be_started()
        where = config.show_addr(addr)
        say(f"pikerd is up at {where}, logs in {folder}")

    async def main() -> str:
        return await run_pikerd(
            addr, idle_exit_s=idle_exit_s, log_level=level, on_up=up
        )

    try:
        why = trio.run(main)
    except KeyboardInterrupt:
        say("pikerd ended: Ctrl-C")
        _say_left()
        raise
    say(f"pikerd ended: {why}")
    _say_left()


def _say_left() -> None:
    """Say which orders nobody looks after now."""
    from piker.clearing import orders_left
    from piker.errors import PikerError

    try:
        left = orders_left()
    except PikerError as err:
        left = str(err)
    if left:
        say(f"until pikerd runs again: {left}")


def main() -> None:
    """Be the ``pikerd`` command."""
    app(prog_name="pikerd")


if __name__ == "__main__":
    main()
