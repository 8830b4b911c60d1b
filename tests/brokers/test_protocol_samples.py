"""Every sample of the venues' messages there is: used as it says, or left alone.

The fields of messages in use are asserted in the tests of each decoder; here it is that
no sample of one was overlooked, and what the rest of the samples means to us.
"""

from __future__ import annotations

import gzip
import json
from itertools import pairwise

import pytest

from piker.brokers._parts import Notice, Part
from piker.brokers.binance import _decode as binance, _rest as binance_rest
from piker.brokers.binance._listing import parse_exchange_info
from piker.brokers.deribit import _decode as deribit
from piker.brokers.kraken import _decode as kraken, _rest as kraken_rest
from piker.errors import BadPayload
from tests._data import data_dir

#: Samples of messages in use, asserted field by field in test_<venue>_decode and _rest.
STREAM = {
    "nautilus_binance/ws_messages": (
        binance.decode_message,
        {"ws_spot_agg_trade", "ws_spot_trade", "ws_spot_ticker_book"},
    ),
    "nautilus_binance/spot/user_data_json": (binance.decode_message, set()),
    "nautilus_kraken": (
        kraken.decode_message,
        {"ws_trade_update", "ws_ticker_snapshot"},
    ),
    "nautilus_deribit": (
        deribit.decode_message,
        {"ws_trades", "ws_trades_option_combo", "ws_quote", "ws_ticker"},
    ),
}
#: What of the rest says something of a request: kind and request id.
ANSWERS = {
    "ws_subscribe_response": ("ack", 1),
    "ws_pong": ("heartbeat", 42),
    "ws_add_order_response_success": ("ack", 42),
    "ws_add_order_response_failure": ("refused", 99),
    "ws_batch_add_response_partial": ("ack", 45),
    "ws_test_request": ("heartbeat", -1),
    "ws_error": ("refused", 1),
    "ws_order_buy_response": ("ack", 3),
    "ws_order_sell_response": ("ack", 4),
    "ws_order_edit_response": ("ack", 7),
    "ws_order_cancel_response": ("ack", 11),
    "ws_order_stop_market_response": ("ack", 5),
    "ws_order_stop_market_no_filled_amount": ("ack", 5),
}


@pytest.mark.parametrize("folder", STREAM)
def test_every_frame_is_known_or_left_alone(folder):
    decode, used = STREAM[folder]
    seen = set()
    for path in sorted((data_dir() / "protocol" / folder).glob("*.json")):
        if folder.endswith(("kraken", "deribit")) and not path.name.startswith("ws_"):
            continue
        seen.add(path.stem)
        told = decode(path.read_bytes())
        if path.stem in used:
            assert all(isinstance(part, Part) for part in told)
            continue
        assert isinstance(told, Notice), path
        kind, req_id = ANSWERS.get(path.stem, ("other", None))
        assert told.kind == kind, path
        assert req_id is None or told.req_id == req_id
    assert used <= seen
    assert len(seen) > 10


def sample(name):
    return (data_dir() / "protocol" / name).read_bytes()


def test_the_documents_time_and_markets():
    """The second samples of what is in use; the first are with each decoder's tests."""
    told = sample("nautilus_binance/http_responses/http_spot_market_time.json")
    assert binance_rest.parse_time_ns(told) == 1633835466289 * 10**6
    told = sample("nautilus_binance/spot/http_json/exchange_info_response.json")
    # its only market has no filters: in what steps it trades isn't told
    assert parse_exchange_info(told, "spot") == ([], 1)


@pytest.mark.parametrize(
    "name",
    [
        "http_spot_market_avg_price", "http_spot_market_depth", "http_spot_market_ping",
        "http_spot_market_ticker_price", "http_spot_wallet_account",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "parse",
    [
        binance_rest.parse_klines, binance_rest.parse_time_ns,
        binance_rest.parse_volumes, binance_rest.parse_book_tickers,
    ],
)  # fmt: skip
def test_an_answer_to_another_question_is_refused(name, parse):
    with pytest.raises(BadPayload):
        parse(sample(f"nautilus_binance/http_responses/{name}.json"))


def recorded(name):
    return gzip.open(data_dir() / "protocol" / "cryptofeed_sample_data" / name)


def test_recorded_tickers_are_quotes_of_a_market():
    """The old websocket told what REST's Ticker still tells, field by field."""
    seen = 0
    with recorded("KRAKEN.ws.49.0.gz") as lines:
        for line in lines:
            payload = line.partition(b": ")[2]
            if not payload.startswith(b"["):
                continue
            _, row, kind, pair = json.loads(payload)
            assert kind == "ticker"
            body = {"error": [], "result": {pair: row}}
            told = kraken_rest.parse_tickers(json.dumps(body).encode())
            volume, mean = float(row["v"][1]), float(row["p"][1])
            assert told == {
                pair: kraken_rest.Quote24h(
                    bid=float(row["b"][0]), bid_size=float(row["b"][2]),
                    ask=float(row["a"][0]), ask_size=float(row["a"][2]),
                    last=float(row["c"][0]), quote_volume=volume * mean,
                )
            }  # fmt: skip
            seen += 1
    assert seen == 18


@pytest.mark.parametrize("name", ["KRAKEN.ws.48.0.gz", "KRAKEN.ws.49.0.gz"])
def test_frames_of_another_version_are_refused(name):
    """A proxy, or a wrong URL, may lead to version 1: no frame of it is a quote."""
    refused = 0
    with recorded(name) as lines:
        for line in lines:
            payload = line.rstrip().partition(b": ")[2]
            if payload.startswith(b"["):
                with pytest.raises(BadPayload):
                    kraken.decode_message(payload)
                refused += 1
            elif payload:
                assert isinstance(kraken.decode_message(payload), Notice)
    assert refused > 5


def test_recorded_depth_is_none_of_what_is_asked_for():
    with recorded("BINANCE.http.0.0.gz") as lines:
        bodies = [line.rstrip().partition(b": ")[2] for line in lines]
    bodies = [body for body in bodies if body.startswith(b'{"lastUpdateId"')]
    assert len(bodies) == 4
    for body in bodies:
        with pytest.raises(BadPayload):
            binance_rest.parse_book_tickers(body)


def test_a_serial_is_a_trades_own():
    """What is missed is found by serials: of the documents' trades they rise by one."""
    (part,) = kraken.decode_message(sample("nautilus_kraken/ws_trade_update.json"))
    assert all(b.tid == a.tid + 1 for a, b in pairwise(part.ticks))
    assert (part.first, part.last) == (part.ticks[0].tid, part.ticks[-1].tid)
