"""The commented files that ``piker init`` writes; every key shows its default."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from piker.errors import ConfigError

from ._load import CONF_NAME
from ._secrets import SECRETS_NAME

CONF_TEMPLATE = """\
# piker: settings. Each key is shown with its default; remove the '#' to change it.
# Secrets never go here: they belong in brokers.toml beside this file.

[pikerd]
# Where the root daemon listens and clients look for it: HOST:PORT.
# registry = "127.0.0.1:6116"
# Seconds with no client, live order or armed alert after which a pikerd that a
# client started leaves by itself.
# idle_exit_s = 600

[data]
# Rows of each market's shared-memory buffer of 1 s bars, and of 60 s bars.
# rt_bars = 86400
# hist_bars = 131072
# How far back bars are loaded behind the scenes: days of 60 s bars, hours of 1 s bars.
# hist_days = 30
# rt_hours = 6
# Whether bars are stored on disk, to be there the next time: false or true.
# store = true
# Seconds a venue subscription outlives its last viewer.
# linger_s = 60
# Seconds without any subscription after which a broker's data daemon leaves.
# idle_s = 900

[sim]
# The simulated venue needs no network and no key. One seed, one world.
# seed = 7
# Market seconds a second of a replay; 0 is as fast as data can be read.
# speed = 1.0
# Recorded sessions to replay; relative paths start at this folder:
#   ["~/sessions/monday.gz", {file = "tuesday.gz", venue = "binance.usdtm"}]
# sessions = []
# Replay the synthetic markets too: from this ISO 8601 time on, at `speed`, for so
# many market seconds (0: for ever). Empty: they run on the wall clock.
# start = ""
# length_s = 0

[clearing]
# A dark order whose price was crossed while nobody looked, and has come back since:
# "alert" tells you, "fire" sends it all the same, at a price that may be gone.
# on_missed_cross = "alert"
# No order fires, and no paper order fills, by a quote older than this many seconds; 0
# for any age. A line that fell silent is noticed within five.
# max_quote_age_s = 10
# A dark order that breaks out is sent with a limit so many price ticks beyond the price
# that fired it: a price alone would often be gone before it arrives.
# dark_slip_ticks = 5
# Percent from the price now that a market order pays at most; what isn't to be had for
# that isn't filled. One percent is through any book that is in order.
# market_band_pct = 1.0
# Told when an alert or a dark order fires, or isn't watched any more. Nothing happens
# where there is no such program; [] for never.
# notify = ["notify-send", "{title}", "{text}"]

# What no order may exceed, live or paper; 0 is no limit. Cancels always pass.
[risk]
# Of one order: base units, and quote units (size, price and multiplier). What is too
# much is another number for each market and purse, so none is set.
# max_size = 0
# max_notional = 0
# Orders of an account at its broker, darks not counted. Venues allow about as many in a
# market; a bot that asks for more has most likely lost count.
# max_open_orders = 200
# Orders and edits a second; twice as many at once. More than a hand can send, and few
# enough that a bot in a loop is stopped before its venue shuts it out.
# max_orders_per_s = 50
# Percent above the price now that a buy, or below it that a sell, may be limited to: a
# digit too many is refused. What waits for a better price may be anywhere.
# price_band_pct = 10.0

[paper]
# Milliseconds of the market's clock from an order's or an edit's coming until it
# counts, the way there and that of the ticks back: about what a home line has to a
# venue on the same continent. And those of a cancel: fills within them are fills.
# latency_ms = 50
# cancel_latency_ms = 50
# A market that was silent for so many seconds fills nothing.
# max_quote_age_s = 30
# A quote may show what a trade took before the trade is told: for so many milliseconds
# its volume moves nobody ahead in a queue twice.
# trade_lag_ms = 250
# An order larger than what is displayed pays so many price ticks more for each further
# such size; 0: it gets no more than is displayed.
# slippage_ticks = 0
# Fees by broker, as a part of what is paid; by default those of its published first
# tier: {binance = {maker = 0.001, taker = 0.001}}
# fees = {}

# Charts, in windows and in terminals.
[ui]
# Colours: "dark" or "light".
# theme = "dark"
# The font of all text, and its size in pixels. Empty: Hack, if it is installed.
# font_name = ""
# font_size = 12
# Times of UTC, or of this machine's zone: true or false.
# utc = true
# Shown from the start: vwap, ema:20, sma:50, rsi:14, dollar, rate, and those that
# modules of yours add; such modules are looked for in this folder too.
# indicators = ["vwap"]
# indicator_modules = []
# Which orders of accounts at brokers are asked about before they are sent: "all",
# those that go at once ("live"), or "none". Paper orders never are.
# confirm = "all"

[log]
# debug, info, warning, error or critical.
# level = "info"

# One table a broker: base URLs, rate budgets, names of accounts. `piker brokers` lists
# the brokers there are.
[brokers]

# [brokers.binance]
# spot_rest = "https://api.binance.com"
# spot_ws = "wss://stream.binance.com:9443"
# Orders go over the websocket API, so many in ten seconds at most; the venue allows
# 100 an account.
# spot_ws_api = "wss://ws-api.binance.com:443/ws-api/v3"
# spot_orders = 90
# usdtm_rest = "https://fapi.binance.com"
# Trades come by /market below it, bids and asks by /public.
# usdtm_ws = "wss://fstream.binance.com"
# Request weight used in a minute at most; the venue allows 6000 and 2400.
# spot_weight = 4800
# usdtm_weight = 1900
# A proxy, e.g. "http://127.0.0.1:3128"; empty: as the environment says.
# proxy = ""
# Seconds for a request, and the longest wait before a lost stream is taken up again.
# deadline_s = 10
# reconnect_max_s = 30
# "data" is for a venue that replays another time: its bars follow its trades.
# clock = "wall"

# [brokers.kraken]
# rest = "https://api.kraken.com"
# ws = "wss://ws.kraken.com"
# ws_auth = "wss://ws-auth.kraken.com"
# REST requests within ten seconds at most.
# requests = 10
# About an account, within 45 seconds, where each of trades counts twice. Any tier
# allows as many; higher ones more, up to 60.
# private_requests = 15
# Orders and changes of them within ten seconds.
# orders = 20
# These mean what they mean above.
# proxy = ""
# deadline_s = 10
# reconnect_max_s = 30
# clock = "wall"

# [brokers.deribit]
# ws = "wss://www.deribit.com"
# Requests within five seconds at most, without a key and with one; orders within four.
# requests = 100
# private_requests = 100
# orders = 15
# These mean what they mean above.
# proxy = ""
# deadline_s = 10
# reconnect_max_s = 30
# clock = "wall"

# [brokers.ib]
# Where IB's gateways listen: each host is tried at each port. TWS of a paper account
# is at 7497, the IB Gateway at 4002; those of a live account are at 7496 and 4001.
# hosts = ["127.0.0.1"]
# ports = [7497, 4002, 7496, 4001]
# The first client id of each kind of process, and how many from there on are tried
# where others have them: no two connections can have the same. An order can be changed
# by the id alone that placed it; as 0 brokerd may change what is placed in TWS, too.
# datad_id = 6116
# brokerd_id = 6136
# ledger_id = 6156
# ids = 5
# Requests within a second; a gateway takes 50. Requests for bars of 30 s and less, or
# for past trades, within ten minutes; IB allows 60, of all programs together.
# messages = 45
# small_bars = 55
# A market of which nothing is heard for so long is asked for anew, s; then less often.
# quiet_s = 60
# Orders for stocks count outside the regular hours, too.
# outside_rth = false
# 1: live, 2: frozen, 3: delayed, 4: delayed and frozen.
# market_data_type = 1
# These mean what they mean above.
# deadline_s = 10
# reconnect_max_s = 30
# clock = "wall"
"""

SECRETS_TEMPLATE = """\
# piker: secrets, one table a broker. Keep this file's mode at 0600; it is opened by
# the order daemon of a broker, brokerd.<broker>, and by nothing else. Markets can be
# watched, and paper orders sent, without any secret.
#
# A secret is a text, the output of a command, or the content of a file:
#
#   [binance.accounts.main]            # orders name it as binance.main
#   key = "..."
#   secret = {cmd = ["pass", "show", "binance/main"]}
#
#   [binance.accounts.other]
#   key = "..."
#   secret = {file = "~/.secrets/binance-other"}
#
#   [ib.accounts.main]                 # IB's gateway is logged in; it is told which
#   number = "U1234567"                # of the login's accounts
#
# Then: piker brokers check binance
"""

_TEMPLATES = (
    (CONF_NAME, CONF_TEMPLATE, 0o644),
    (SECRETS_NAME, SECRETS_TEMPLATE, 0o600),
)


def write_templates(folder: Path, force: bool = False) -> list[Path]:
    """Write the commented config files into *folder*, made if absent.

    Args:
      folder: where to.
      force: replace files that exist; each is kept beside, as ``NAME.bak``,
        ``NAME.2.bak`` and so on.

    Returns:
      the files written; one that existed and was left alone is not among them.

    Raises:
      ConfigError: the folder or a file can't be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [
            folder / name
            for name, text, mode in _TEMPLATES
            if _write(folder / name, text, mode, force)
        ]
    except OSError as e:
        raise ConfigError(f"can't write {e.filename or folder}: {e.strerror}") from e


def _write(path: Path, text: str, mode: int, force: bool) -> bool:
    """Write *text* to *path* unless it exists, and tell whether it did."""
    if force and os.path.lexists(path):
        path.rename(_backup_name(path))
    try:
        # O_EXCL also refuses a dangling link, which a write would go through.
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with open(made, "w", encoding="utf-8") as file:
        file.write(text)
    return True


def _backup_name(path: Path) -> Path:
    names = (f"{path.name}.{i}.bak" if i > 1 else f"{path.name}.bak" for i in count(1))
    return next(
        path.with_name(n) for n in names if not os.path.lexists(path.with_name(n))
    )
