"""What ``conf.toml`` may say: types, bounds and defaults.

A bound stands here once; the loader words its refusals after it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, field

from piker.types import Struct

DEFAULT_REGISTRY = "127.0.0.1:6116"

#: Backends that ship with piker: who may have a table below ``brokers``, but for the
#: first, whose table is ``sim``.
BROKERS = ("sim", "binance", "kraken", "deribit", "ib")

_YEAR_S = 31_536_000
_MAX_BARS = 2**25  # 56 bytes a bar: just under 2 GB of shared memory

Bars = Annotated[int, Meta(ge=1024, le=_MAX_BARS)]
Wait = Annotated[float, Meta(ge=0, le=_YEAR_S)]
Limit = Annotated[float, Meta(ge=0, le=1e15)]

Millis = Annotated[float, Meta(ge=0, le=3_600_000)]
Rate = Annotated[float, Meta(ge=-0.1, le=0.5)]
Level = Literal["debug", "info", "warning", "error", "critical"]


class PikerdConf(Struct, frozen=True, kw_only=True):
    """The root daemon.

    Attributes:
      registry: ``HOST:PORT`` it listens on and clients look for it at.
      idle_exit_s: seconds without a client, a live order or an armed alert after
        which a pikerd that a client started leaves.
    """

    registry: Annotated[str, Meta(description="HOST:PORT")] = DEFAULT_REGISTRY
    idle_exit_s: Wait = 600.0


class DataConf(Struct, frozen=True, kw_only=True):
    """Feeds and their buffers.

    Attributes:
      rt_bars: rows of a market's buffer of 1 s bars.
      hist_bars: rows of a market's buffer of 60 s bars.
      hist_days: days of 60 s bars to load, into the store where the buffer is full.
      rt_hours: hours of 1 s bars, likewise.
      store: whether bars are stored on disk.
      linger_s: seconds a venue subscription outlives its last subscriber.
      idle_s: seconds without a subscription after which a datad leaves.
    """

    rt_bars: Bars = 86_400
    hist_bars: Bars = 131_072
    hist_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    rt_hours: Annotated[float, Meta(ge=0, le=8_784)] = 6.0
    store: bool = True
    linger_s: Wait = 60.0
    idle_s: Wait = 900.0


class ClearingConf(Struct, frozen=True, kw_only=True):
    """Orders that wait in the dark, and how they are sent.

    Attributes:
      on_missed_cross: what becomes of a dark order whose price was crossed while
        nobody looked, and has come back since.
      max_quote_age_s: no order fires, and no paper order fills, by a quote older than
        this, by the market's clock; 0 for any age.
      dark_slip_ticks: price ticks beyond the price that fired a break-out, with which
        it is sent.
      market_band_pct: percent from the price now that a market order pays at most.
      notify: command told when an alert or a dark order fires, or isn't watched any
        more; empty: none.
    """

    on_missed_cross: Literal["alert", "fire"] = "alert"
    max_quote_age_s: Wait = 10.0
    dark_slip_ticks: Annotated[int, Meta(ge=0, le=10_000)] = 5
    market_band_pct: Annotated[float, Meta(ge=0, le=50)] = 1.0
    notify: Annotated[
        tuple[str, ...],
        Meta(description='a list of words, e.g. ["notify-send", "{title}", "{text}"]'),
    ] = ("notify-send", "{title}", "{text}")


class RiskConf(Struct, frozen=True, kw_only=True):
    """What no order may exceed; 0 is no limit.

    Attributes:
      max_size: base units of an order.
      max_notional: quote units of an order: size, price and multiplier.
      max_open_orders: orders of an account that are at its broker.
      max_orders_per_s: orders and edits a second; twice as many at once.
      price_band_pct: percent from the price now, on the side that loses by it.
    """

    max_size: Limit = 0.0
    max_notional: Limit = 0.0
    max_open_orders: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    max_orders_per_s: Limit = 50.0
    price_band_pct: Annotated[float, Meta(ge=0, le=1000)] = 10.0


class SessionFile(Struct, frozen=True, kw_only=True):
    """A recorded session to replay.

    Attributes:
      file: absolute path, once loaded.
      venue: whose frames it holds; empty where the file itself tells.
    """

    file: Annotated[str, Meta(min_length=1, description="the path of a file")]
    venue: str = ""


class SimConf(Struct, frozen=True, kw_only=True):
    """The embedded simulated venue.

    Attributes:
      seed: of the synthetic markets.
      speed: market seconds a second of a replay; 0 is as fast as data can be read.
      sessions: recorded sessions to offer.
      start: ISO 8601 time at which the synthetic markets' clock starts, to replay
        them from there at *speed*; empty: they run on the wall clock.
      length_s: market seconds after which such a replay ends, 0 for never.
    """

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 7
    speed: Annotated[float, Meta(ge=0, le=1_000_000)] = 1.0
    sessions: Annotated[
        tuple[SessionFile, ...],
        Meta(description='a list of "path" or {file = "path", venue = "name"}'),
    ] = ()
    start: Annotated[str, Meta(description="an ISO 8601 time")] = ""
    length_s: Wait = 0.0


class FeeConf(Struct, frozen=True, kw_only=True):
    """What a broker takes of a trade on paper, as a part of what is paid.

    Attributes:
      maker: of an order that rested; below 0 it is a rebate.
      taker: of one that took what rested.
    """

    maker: Rate
    taker: Rate


class PaperConf(Struct, frozen=True, kw_only=True):
    """What paper markets are like; each default is on the careful side.

    Attributes:
      latency_ms: from an order's or an edit's coming until it counts. What counts is
        when a tick comes here, so it is the way there *and* that of the ticks back:
        50 ms, about what a home line has to a venue on the same continent.
      cancel_latency_ms: likewise of a cancel: fills within it are fills.
      max_quote_age_s: a market that was silent for longer fills nothing; 30 s, far
        longer than any busy market is silent and shorter than a lost line goes
        unnoticed.
      trade_lag_ms: quotes and trades come by two streams, and a quote may already show
        what a trade took that is told later: for so long its volume moves nobody ahead
        in a queue twice. 250 ms; in recordings nine of ten came within 75.
      slippage_ticks: an order larger than what is displayed at the touch pays so many
        price ticks more for each further such size; 0: it gets no more than is
        displayed, as nothing is known of what lies behind.
      fees: by broker; those of its published first tier by default.
    """

    latency_ms: Millis = 50.0
    cancel_latency_ms: Millis = 50.0
    max_quote_age_s: Annotated[float, Meta(ge=0.001, le=_YEAR_S)] = 30.0
    trade_lag_ms: Millis = 250.0
    slippage_ticks: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    fees: dict[str, FeeConf] = field(default_factory=dict)


class LogConf(Struct, frozen=True, kw_only=True):
    """Logs.

    Attributes:
      level: what is less important is not logged.
    """

    level: Level = "info"


class UiConf(Struct, frozen=True, kw_only=True):
    """Charts, in windows and in terminals.

    Attributes:
      theme: of colours.
      font_name: of all text; empty: the first of a few that is installed.
      font_size: of it, pixels.
      utc: times are UTC, else those of this machine's zone.
      indicators: shown from the start, see `piker.ui.indicators`.
      indicator_modules: modules imported before, which add indicators of yours.
      confirm: which orders of accounts at brokers are asked about before they are sent:
        all, only those that go at once, or none.
    """

    theme: Literal["dark", "light"] = "dark"
    font_name: str = ""
    font_size: Annotated[int, Meta(ge=6, le=72)] = 12
    utc: bool = True
    indicators: Annotated[
        tuple[str, ...],
        Meta(description='a list of words, e.g. ["vwap", "ema:20"]'),
    ] = ("vwap",)
    indicator_modules: Annotated[
        tuple[str, ...],
        Meta(description='a list of module names, e.g. ["my_indicators"]'),
    ] = ()
    confirm: Literal["all", "live", "none"] = "all"


class Config(Struct, frozen=True, kw_only=True):
    """All of ``conf.toml``.

    Attributes:
      brokers: one table a backend, which checks it itself: base URLs, rate budgets,
        account names; never secrets. Not to be changed.
    """

    pikerd: PikerdConf = PikerdConf()
    data: DataConf = DataConf()
    sim: SimConf = SimConf()
    clearing: ClearingConf = ClearingConf()
    risk: RiskConf = RiskConf()

    paper: PaperConf = field(default_factory=PaperConf)
    ui: UiConf = UiConf()
    log: LogConf = LogConf()
    brokers: dict[str, dict[str, Any]] = field(default_factory=dict)
