"""What backends of venues on the web share: HTTP, websockets, their faults.

_http    requests inside a rate budget     _ws    frames by the batch
_hub     one connection, many markets      _market  every trade once, in order, with
_stream  a backend's ``stream_quotes``       its _silence, _doubts and _mends
_record  its ``stream_frames``             _conf    a backend's table in conf.toml
_time    the venue's clock, measured       _dialect  how a venue is spoken to
_seats   which connection, of several      _quotes  bids and asks on another one
"""

from ._backoff import Backoff as Backoff
from ._budget import RateBudget as RateBudget
from ._conf import (
    RestUrl as RestUrl,
    WebConf as WebConf,
    WsUrl as WsUrl,
    replay_clock as replay_clock,
)
from ._dialect import Dialect as Dialect
from ._http import Http as Http, open_http as open_http
from ._hub import (
    Hub as Hub,
    open_hub as open_hub,
    open_shared_hub as open_shared_hub,
)
from ._pages import Page as Page, Since as Since
from ._record import record_markets as record_markets
from ._seats import Seats as Seats
from ._shared import open_shared as open_shared, run_local as run_local
from ._stream import Source as Source, stream_markets as stream_markets
from ._time import Told as Told, VenueTime as VenueTime
