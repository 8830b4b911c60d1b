"""``piker chart --tui``: a session under the terminal chart.

run_tui --> [names checked] --> ChartApp, trio its guest --> open_session --> Model
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Final, Literal

import trio

from piker import config
from piker.brokers import check_broker
from piker.errors import UsageError
from piker.log import log_path, setup_logging
from piker.msgs import Fqme
from piker.service import Addr, collapse_eg
from piker.ui._session import open_session
from piker.ui._theme import ThemeName
from piker.ui._times import local_zone
from piker.ui.indicators import Wanted, parse

from ._app import ChartApp, check_terminal
from ._guest import run
from ._link import Link
from ._model import Model

#: Terminals of one user at once that have a log of their own.
_MOST_LOGS: Final = 64
#: Quotes a second of each market: there are ten pictures a second.
_QUOTES_HZ: Final = 10.0


def run_tui(
    addr: Addr | None,
    fqmes: Sequence[str],
    mode: Literal["paper", "live"] = "paper",
    period_s: int = 60,
    indicators: Sequence[str] = (),
    theme_name: ThemeName = "dark",
) -> None:
    """Show markets in this terminal until the user leaves; orders stay.

    A pikerd is started if none runs. While the screen is up logs go to a file only.

    Args:
      addr: of the registry, as configured by default.
      fqmes: names of markets; the first is shown, the others join the watchlist.
      mode: ``live`` orders may go to accounts at brokers.
      period_s: of the bars.
      indicators: as they are written, e.g. ``ema:20``.
      theme_name: of the colours.

    Raises:
      UsageError: no terminal, no market named, a period or an indicator there isn't.
      BadFqme, BrokerNotFound, SymbolNotFound: names that lead nowhere.
      PikerError: as :func:`piker.ui._session.open_session` and feeds raise them.
      KeyboardInterrupt, SystemExit: a signal ended it.
    """
    wanted = [parse(text) for text in indicators]
    check_names(fqmes)
    if period_s < 1:
        raise UsageError(f"a period is 1 s or more, got {period_s}")
    check_terminal()
    where = config.show_addr(addr or config.registry_addr())
    app = ChartApp(f"connecting to pikerd at {where} ...", theme_name)
    options = _Options(addr, tuple(fqmes), mode, period_s, wanted, theme_name)
    with _logs_to_file():
        run(app, lambda: _serve(app, options))


@dataclass(frozen=True)
class _Options:
    """What was asked for, see `run_tui`."""

    addr: Addr | None
    fqmes: tuple[str, ...]
    mode: Literal["paper", "live"]
    period_s: int
    wanted: list[Wanted]
    theme: ThemeName


def check_names(fqmes: Sequence[str]) -> None:
    """Raise for names that can't be meant: they start nothing."""
    if not fqmes:
        raise UsageError("name a market: piker chart --tui btcusdt.spot.sim")
    for fqme in fqmes:
        check_broker(Fqme.parse(fqme).broker)


async def _serve(app: ChartApp, options: _Options) -> None:
    """Hold the session for as long as the app runs."""
    conf = config.load_config().ui
    async with (
        open_session(
            options.addr,
            options.mode,
            on_start=app.say,
            fqme=options.fqmes[0],
            quotes_hz=_QUOTES_HZ,
        ) as session,
        collapse_eg(),
        trio.open_nursery() as tasks,
    ):
        link = Link(session)
        tasks.start_soon(link.serve)
        name, *others = options.fqmes
        app.say(f"waiting for {name} ...")
        model = Model(
            session,
            link,
            await session.market(name),
            period_s=options.period_s,
            wanted=options.wanted,
            theme=options.theme,
            zone=UTC if conf.utc else local_zone(),
            confirms=conf.confirm,
        )
        app.attach(model)
        for other in others:
            model.open(other, is_shown=False)
        await trio.sleep_forever()


@contextmanager
def _logs_to_file() -> Iterator[None]:
    """Log to a file of this process's own: one on the screen would tear it."""
    with _own_name(Path(config.runtime_dir())) as name:
        path = log_path(Path(config.state_dir()), name)
        setup_logging(name, "info", console=False, file=path)
        yield


@contextmanager
def _own_name(folder: Path) -> Iterator[str]:
    """Yield the first of ``chart``, ``chart-2`` ... that no other terminal logs by."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, _MOST_LOGS + 1):
        name = "chart" if number == 1 else f"chart-{number}"
        with (folder / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return
    yield f"chart-{os.getpid()}"
