"""Every struct that crosses a process or a wire.

Leaf package: it imports nothing of piker but :mod:`piker.types` and
:mod:`piker.errors`. Users find these names where they look for them:
``piker.data``, ``piker.accounting``, ``piker.service``.
"""

from ._accounts import (
    AccountCheck as AccountCheck,
    AllEnded as AllEnded,
    Resting as Resting,
    SyncDone as SyncDone,
    SyncProgress as SyncProgress,
)
from ._annots import (
    AnnotCommand as AnnotCommand,
    AnnotDone as AnnotDone,
    DrawRects as DrawRects,
    Rect as Rect,
    Redraw as Redraw,
    RemoveRects as RemoveRects,
)
from ._batches import (
    BATCH_MAX as BATCH_MAX,
    each_of as each_of,
    in_batches as in_batches,
)
from ._calendar import Calendar as Calendar, zone_shifts as zone_shifts
from ._clock import (
    NS as NS,
    Clock as Clock,
    SessionClock as SessionClock,
    VenueClock as VenueClock,
    WallClock as WallClock,
    boot_ns as boot_ns,
)
from ._feed import (
    NO_MORE_DATA as NO_MORE_DATA,
    Credit as Credit,
    Disconnected as Disconnected,
    Ended as Ended,
    FeedCommand as FeedCommand,
    FeedEvent as FeedEvent,
    FeedInit as FeedInit,
    FeedMsg as FeedMsg,
    FlumeMsg as FlumeMsg,
    HistoryProgress as HistoryProgress,
    Match as Match,
    MendProgress as MendProgress,
    Pause as Pause,
    Reconnected as Reconnected,
    Resume as Resume,
    ShmToken as ShmToken,
    Warned as Warned,
)
from ._fqme import Fqme as Fqme
from ._mkt import (
    Asset as Asset,
    AssetType as AssetType,
    MktPair as MktPair,
    PriceStep as PriceStep,
)
from ._orders import (
    PAPER as PAPER,
    Action as Action,
    BrokerdCancel as BrokerdCancel,
    BrokerdError as BrokerdError,
    BrokerdFill as BrokerdFill,
    BrokerdMsg as BrokerdMsg,
    BrokerdOrder as BrokerdOrder,
    BrokerdOrderAck as BrokerdOrderAck,
    BrokerdPosition as BrokerdPosition,
    BrokerdRequest as BrokerdRequest,
    BrokerdStatus as BrokerdStatus,
    Cancel as Cancel,
    ClientMsg as ClientMsg,
    DialogInit as DialogInit,
    Edit as Edit,
    EmsInit as EmsInit,
    EmsMsg as EmsMsg,
    EmsState as EmsState,
    Error as Error,
    ExecMode as ExecMode,
    OpenOrder as OpenOrder,
    Order as Order,
    OrderType as OrderType,
    Reconcile as Reconcile,
    Reconciled as Reconciled,
    Resp as Resp,
    SentTif as SentTif,
    Side as Side,
    Status as Status,
    Tif as Tif,
    is_same as is_same,
    refusal as refusal,
    stranger_oid as stranger_oid,
)
from ._record import FrameBatch as FrameBatch, FramePoint as FramePoint
from ._service import (
    ServiceEvent as ServiceEvent,
    ServiceInfo as ServiceInfo,
    State as State,
)
from ._ticks import (
    ASKS as ASKS,
    BIDS as BIDS,
    CLEARS as CLEARS,
    Quote as Quote,
    Tick as Tick,
    TickType as TickType,
    frame_ticks as frame_ticks,
    iterticks as iterticks,
)
