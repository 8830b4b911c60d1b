"""What brokerd.ib lets emsd call. Endpoints only: this module is exposed whole."""

from __future__ import annotations

from piker.msgs import BrokerdMsg, BrokerdRequest, DialogInit
from piker.service import Context, endpoint


@endpoint(
    started=DialogInit, sends=BrokerdMsg | list[BrokerdMsg], receives=BrokerdRequest
)
async def open_trade_dialog(ctx: Context) -> None:
    """Send live orders to IB, see `serve_trade_dialog`.

    As an account's session begins, contracts of open orders and of what is held are
    learnt at once; those of others with the first order for them.
    """
    # not at import: who only wants data has no use for all that
    from piker.brokers._live._dialog import serve_trade_dialog

    from ._orders import BACKEND

    await serve_trade_dialog(ctx, BACKEND.open_session, BACKEND.get_mkt)
