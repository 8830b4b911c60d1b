"""Time series: the dtype of bars, and pure functions from arrays to arrays."""

from ._bars import (
    Columns as Columns,
    aggregate as aggregate,
    concat_columns as concat_columns,
    from_bars as from_bars,
    reduce_columns as reduce_columns,
    resample as resample,
    to_bars as to_bars,
)
from ._dtypes import (
    OHLCV as OHLCV,
    find_fault as find_fault,
    find_faults as find_faults,
)
from ._gaps import (
    between as between,
    fill_gaps as fill_gaps,
    find_gaps as find_gaps,
    find_nulls as find_nulls,
    in_order as in_order,
    is_news as is_news,
    merge as merge,
    newest_run as newest_run,
    open_mask as open_mask,
    settled as settled,
)
from ._hours import Gap as Gap, list_gaps as list_gaps
from ._spans import (
    Span as Span,
    join_spans as join_spans,
    missing_spans as missing_spans,
    without as without,
)
from ._steps import (
    Floats as Floats,
    Ints as Ints,
    to_float as to_float,
    to_steps as to_steps,
)
