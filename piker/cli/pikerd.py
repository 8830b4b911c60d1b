"""``pikerd``: be the root of a tree until told to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def pikerd(
    registry: Annotated[
        str | None, typer.Option("--registry", "-r", help="HOST:PORT to listen at.")
    ] = None,
    config_dir: Annotated[
        Path | None, typer.Option("--config-dir", "-c", help="Folder of conf.toml.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", "-l", help="debug, info, warning...")
    ] = None,
    idle_exit: Annotated[  # noqa: FBT002 - typer's way to say a flag
        bool, typer.Option("--idle-exit", help="End after a while without clients.")
    ] = False,
    verbose: Annotated[  # noqa: FBT002
        bool, typer.Option("--verbose", "-v", help="Tracebacks, logs on stderr.")
    ] = False,
) -> None:
    """Run the root of the actor tree: it supervises the daemons, clients attach to it."""
    from piker.cli._run import guarded

    with guarded(verbose=verbose):
        _pikerd(registry, config_dir, log_level, idle_exit=idle_exit, verbose=verbose)


def _pikerd(
    registry: str | None,
    config_dir: Path | None,
    log_level: str | None,
    *,
    idle_exit: bool,
    verbose: bool,
) -> None:
    import trio

    from piker import config
    from piker.cli._run import use_config_dir
    from piker.log import setup_logging
    from piker.service import run_pikerd

    use_config_dir(config_dir)
    conf = config.load_config()
    config.check_secrets_file()
    addr = config.registry_addr(registry)
    level = log_level or conf.log.level
    log_file = config.make_private(config.state_dir() / "log") / "pikerd.log"
    setup_logging("pikerd", level, console=verbose, file=log_file)

    def up() -> None:
        where = f"{addr[0]}:{addr[1]}"
        typer.echo(f"pikerd is up at {where}, logs in {log_file.parent}", err=True)

    async def main() -> str:
        return await run_pikerd(
            addr,
            idle_exit_s=conf.pikerd.idle_exit_s if idle_exit else None,
            log_level=level,
            on_up=up,
        )

    typer.echo(f"pikerd ended: {trio.run(main)}", err=True)


def main() -> None:
    """Be the ``pikerd`` command."""
    typer.run(pikerd)


if __name__ == "__main__":
    sys.exit(main())
