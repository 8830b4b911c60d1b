"""``piker doctor``: what is wrong with this machine, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._run import Options, options_of, settle

if TYPE_CHECKING:
    from rich.table import Table

    from ._checks import Check


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="Remove what dead trees left.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
) -> None:
    """Look for what keeps piker from working here; exit code 1 if it finds any."""
    from ._checks import fix_stale
    from ._show import bare_fields, open_console, put_json

    options = options_of(ctx)
    if fix:
        _apply_config_dir(options)
        for line in fix_stale():
            typer.echo(line, err=True)
    checks = run_checks(options)
    if as_json:
        put_json([bare_fields(check) for check in checks])
    else:
        open_console().print(_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def _apply_config_dir(options: Options) -> None:
    from ._run import use_config_dir

    use_config_dir(options.config_dir)


def run_checks(options: Options) -> list[Check]:
    """Return all findings; a check that can't be made is one."""
    from . import _checks

    _apply_config_dir(options)
    return [
        _checks.check_python(),
        _checks.check_engine(),
        _checks.check_config(),
        _checks.check_secrets(),
        *_checks.check_folders(),
        _checks.check_orders(),
        _checks.check_shm(),
        _checks.check_stale_shm(),
        _checks.check_stale_runtime(),
        _check_pikerd(options),
        _checks.check_clock(),
        _checks.check_qt(),
    ]


def _check_pikerd(options: Options) -> Check:
    import trio

    from piker.errors import ConfigError

    from ._checks import Check, check_pikerd

    try:
        addr = settle(options)
    except ConfigError as err:
        advice = "the address comes first from --registry, then PIKER_REGISTRY"
        return Check(name="pikerd", ok=False, detail=str(err), advice=advice)
    return trio.run(check_pikerd, addr)


def _table(checks: list[Check]) -> Table:
    from rich.text import Text

    from ._show import new_table

    table = new_table("", "check", "finding")
    table.columns[2].no_wrap = False
    table.columns[2].overflow = "fold"
    for check in checks:
        if not check.ok:
            mark = Text("✗", style="bold red")
        elif check.advice:
            mark = Text("!", style="bold yellow")
        else:
            mark = Text("✓", style="green")
        finding = Text(check.detail)
        if check.advice:
            finding.append(f"\n{check.advice}", style="dim")
        table.add_row(mark, check.name, finding)
    return table
