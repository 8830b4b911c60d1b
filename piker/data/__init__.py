"""Market data: feeds, shared bars, symbol search, and the daemons behind them."""

from piker.msgs import (
    NO_MORE_DATA as NO_MORE_DATA,
    Disconnected as Disconnected,
    Ended as Ended,
    FeedEvent as FeedEvent,
    FeedInit as FeedInit,
    HistoryProgress as HistoryProgress,
    Match as Match,
    Quote as Quote,
    Reconnected as Reconnected,
    Tick as Tick,
    Warned as Warned,
    frame_ticks as frame_ticks,
    iterticks as iterticks,
)

from ._daemon import (
    datad_init as datad_init,
    maybe_spawn_datad as maybe_spawn_datad,
    spawn_datad as spawn_datad,
)
from ._mend_line import mend_bars as mend_bars
from ._sampling import (
    maybe_spawn_samplerd as maybe_spawn_samplerd,
    open_sample_stream as open_sample_stream,
    samplerd_init as samplerd_init,
    spawn_samplerd as spawn_samplerd,
)
from ._search import (
    Found as Found,
    Search as Search,
    known_kind as known_kind,
    open_search as open_search,
    search_symbols as search_symbols,
)
from ._shm import Bars as Bars, BarsView as BarsView, ShmArray as ShmArray
from .feed import (
    Feed as Feed,
    Flume as Flume,
    maybe_open_feed as maybe_open_feed,
    open_feed as open_feed,
)
from .validate import (
    get_eps as get_eps,
    rpc_modules as rpc_modules,
    spawn_kwargs as spawn_kwargs,
    validate_backend as validate_backend,
)
