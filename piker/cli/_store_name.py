"""Whose bars an imported file has: the one name under which datad looks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from piker.msgs import Fqme

#: A venue's list of markets is waited for so long: mostly it lies on disk.
_DEADLINE_S: Final = 10.0
#: Bar lengths that feeds have.
_SHOWN_S: Final = (1, 60)


def full_name(fqme: str) -> tuple[str, list[str]]:
    """Return the full name of a market, and what is to be said of it.

    Raises:
      BadFqme; BrokerNotFound.
      SymbolNotFound: a short name, and there is no such market.
      UsageError: a short name, and the venue can't be asked.
    """
    from piker.brokers import check_broker
    from piker.errors import BadFqme, PikerError, SymbolNotFound, UsageError
    from piker.msgs import Fqme
    from piker.storage import stored_folders

    asked = Fqme.parse(fqme)
    check_broker(asked.broker)
    if str(asked) in {name for name, _, _ in stored_folders()}:
        return str(asked), []
    try:
        found = _ask(asked)
    except BadFqme:
        raise
    except SymbolNotFound as err:
        if not asked.venue:
            raise
        return str(asked), [f"{err}: no feed shows these bars"]
    except PikerError as err:
        if not asked.venue:
            raise UsageError(
                f"{fqme!r} is short, and its full name can't be asked for: {err}; "
                f"name it in full, e.g. {asked.pair}.spot.{asked.broker}"
            ) from None
        return str(asked), []
    said = [f"{str(asked)!r} is {found!r}"] if found != str(asked) else []
    return found, said


def _ask(fqme: Fqme) -> str:
    """Return a market's full name, of its backend."""
    import trio

    from piker.brokers import get_brokermod
    from piker.errors import VenueUnreachable

    async def ask() -> str:
        with trio.move_on_after(_DEADLINE_S):
            mkt, _ = await get_brokermod(fqme.broker).get_mkt_info(str(fqme))
            return str(mkt.fqme)
        raise VenueUnreachable(f"{fqme.broker!r} doesn't answer")

    return trio.run(ask)


def period_notes(period_s: int) -> list[str]:
    """Return what is to be said of bars of this length."""
    if period_s in _SHOWN_S:
        return []
    return [
        f"feeds have bars of {' s and '.join(map(str, _SHOWN_S))} s, and make longer "
        f"ones of those: stored bars of {period_s} s are for `piker store` only"
    ]
