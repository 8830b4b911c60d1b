"""``piker init``: write commented config files."""

from __future__ import annotations

from typing import Annotated

import typer

from ._run import options_of, use_config_dir


def init(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files, keeping each as .bak.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON.")] = False,
) -> None:
    """Write commented conf.toml and brokers.toml, and check those that are there."""
    from ._init import init_config, result_lines
    from ._show import bare_fields, put_json

    use_config_dir(options_of(ctx).config_dir)
    result = init_config(force=force)
    if as_json:
        put_json(bare_fields(result))
        return
    for line in result_lines(result):
        typer.echo(line)
