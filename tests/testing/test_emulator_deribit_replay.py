"""Recordings of Deribit, played: what was told comes as it was told."""

from __future__ import annotations

import gzip
import json

import pytest
from websockets.exceptions import ConnectionClosed

from piker.errors import SessionFileError
from piker.testing.emulator import open_emulator
from piker.testing.emulator._deribit_played import played_tape
from piker.testing.emulator._run import Options, open_tape
from tests._data import data_dir
from tests.testing._deribit import Talk, talking
from tests.testing._emulated import open_local, open_ws

NS = 10**9
START_MS = 1_700_000_000_000
PERP = "BTC-PERPETUAL"


def frame(channel, data):
    return {"jsonrpc": "2.0", "method": "subscription",
            "params": {"channel": channel, "data": data}}  # fmt: skip


def trade(seq, **more):
    return {
        "trade_seq": seq, "trade_id": str(seq * 3), "timestamp": START_MS + seq * 100,
        "price": 60_000.5 + seq % 5, "amount": 10.0 * seq, "direction": "buy",
        "instrument_name": PERP, "tick_direction": 0, "index_price": 60_000.1,
        "mark_price": 60_000.2, "contracts": 1.0 * seq, **more,
    }  # fmt: skip


def write(path, frames):
    """Write a session of ours: a frame each 100 ms."""
    lines = [
        f"{(START_MS + nth * 100 + 50) * 10**6} {json.dumps(one)}\n"
        for nth, one in enumerate(frames)
    ]
    path.write_text("".join(lines))
    return path


async def heard_of(venue, channels):
    """Return all that channels tell, of a venue at full speed."""
    async with open_ws(venue, "/ws/api/v2") as socket:
        talk = Talk(venue, socket)
        await talk.auth()
        assert sorted(await talk.subscribe(*channels)) == sorted(channels)
        await venue.wait_done()
        await talk.ask("public/test")
        return talk.told


async def test_what_was_recorded_of_options_comes_again(tmp_path):
    """Tickers to the letter; a book's changes from the same numbers on."""
    folder = data_dir() / "protocol" / "cryptofeed_sample_data"
    files = [folder / "DERIBIT.0.gz", folder / "DERIBIT.ws.1.0.gz"]
    lines = gzip.decompress(files[1].read_bytes()).splitlines()
    found = [json.loads(line.partition(b": ")[2]) for line in lines
             if b'"subscription"' in line and b" <- " not in line]  # fmt: skip
    recorded = [(one["params"]["channel"], one["params"]["data"]) for one in found]
    channels = list(dict.fromkeys(channel for channel, _ in recorded))
    options = {"speed": 0, "streams": len(channels)}
    async with open_local("deribit", session=files, **options) as venue:
        await venue.open_account("main", "an-id", "a-secret")
        told = await heard_of(venue, channels)
        async with open_ws(venue, "/ws/api/v2") as socket:
            talk = Talk(venue, socket)
            rows = await talk.ask("public/get_instruments", currency="BTC",
                                  kind="option")  # fmt: skip
            assert len(rows) == 390
            chain = {row["instrument_name"]: row for row in rows}
            assert chain["BTC-24SEP21-8000-P"]["strike"] == 8000
            last = dict(recorded)
            ticker = await talk.ask("public/ticker",
                                    instrument_name="BTC-24SEP21-8000-P")  # fmt: skip
            assert ticker == last["ticker.BTC-24SEP21-8000-P.raw"]
    for channel in channels:
        ours = [data for name, data in told if name == channel]
        theirs = [data for name, data in recorded if name == channel]
        if channel.startswith("ticker"):
            kept = [one for nth, one in enumerate(theirs)
                    if not nth or one != theirs[nth - 1]]  # fmt: skip
            assert [one for one in ours if one["timestamp"]][-len(kept) :] == kept
        else:
            changes = [one for one in ours if one["type"] == "change"]
            wanted = [one for one in theirs if one["type"] == "change"]
            assert [one["change_id"] for one in changes] == [
                one["change_id"] for one in wanted
            ]
            for one, other in zip(changes, wanted, strict=True):
                assert one["prev_change_id"] == other["prev_change_id"]
                assert sorted(one["bids"]) == sorted(other["bids"])
                assert sorted(one["asks"]) == sorted(other["asks"])


async def test_the_venues_own_samples_are_played():
    """Messages of its documents, each a file: stamps are theirs, also their prices."""
    folder = data_dir() / "protocol" / "nautilus_deribit"
    names = ("http_get_instruments", "ws_trades", "ws_ticker", "ws_quote",
             "ws_book_snapshot", "ws_book_delta")  # fmt: skip
    files = [folder / f"{name}.json" for name in names]
    tape = played_tape(files, 0)
    assert len(tape.items) == 5
    assert [item.due_ns for item in tape.items] == sorted(i.due_ns for i in tape.items)
    async with open_local("deribit", session=files, speed=0, streams=0) as venue:
        await venue.open_account("main", "an-id", "a-secret")
        told = await heard_of(venue, [f"trades.{PERP}.raw", f"book.{PERP}.raw",
                                      f"ticker.{PERP}.raw"])  # fmt: skip
        (trades,) = [data for name, data in told if name.startswith("trades")]
        document = json.loads((folder / "ws_trades.json").read_text())
        assert trades == document["params"]["data"]
        changes = [data for name, data in told
                   if name.startswith("book") and data["type"] == "change"]  # fmt: skip
        assert changes[-1]["change_id"] == 123_456_790
        async with open_ws(venue, "/ws/api/v2") as socket:
            talk = Talk(venue, socket)
            book = await talk.ask("public/get_order_book", instrument_name=PERP,
                                  depth=5)  # fmt: skip
            assert book["bids"][0] == [42_500.0, 950.0]
            assert 42_501.0 not in [price for price, _ in book["asks"]]


async def test_a_session_of_ours_at_full_speed(tmp_path):
    """Trades, bars and pages are of what passed; a broken line loses what passes."""
    frames = [frame(f"trades.{PERP}.100ms", [trade(seq)]) for seq in range(1, 101)]
    path = write(tmp_path / "session.txt", frames)
    async with talking(session=path, speed=0, streams=1) as talk:
        await talk.venue.fault("disconnect", at=[40], how="rst", missed=10)
        channel = f"trades.{PERP}.100ms"
        await talk.subscribe(channel)
        with pytest.raises(ConnectionClosed):
            await talk.hear(channel, 10**6)
        first = [row["trade_seq"] for _, rows in talk.told for row in rows]
        async with open_ws(talk.venue, "/ws/api/v2") as socket:
            other = Talk(talk.venue, socket)
            await other.subscribe(channel)
            await talk.venue.wait_done()
            await other.hear(channel, where=lambda rows: rows[-1]["trade_seq"] == 100)
            second = [row["trade_seq"] for _, rows in other.told for row in rows]
            assert first == list(range(1, len(first) + 1))
            assert second == list(range(second[0], 101))
            assert second[0] - first[-1] >= 10
            missed = await other.ask(
                "public/get_last_trades_by_instrument", instrument_name=PERP,
                start_seq=first[-1] + 1, end_seq=second[0] - 1, count=1000,
            )  # fmt: skip
            seqs = [row["trade_seq"] for row in missed["trades"]]
            assert seqs == list(range(first[-1] + 1, second[0]))
            now_ms = await other.ask("public/get_time")
            assert now_ms == START_MS + 100 * 100
            bars = await other.ask(
                "public/get_tradingview_chart_data", instrument_name=PERP,
                start_timestamp=START_MS - 60_000, end_timestamp=now_ms, resolution="1",
            )  # fmt: skip
            assert sum(bars["cost"]) == pytest.approx(10 * sum(range(1, 101)))


async def test_an_account_trades_with_what_was_recorded(tmp_path):
    """At the recorded quotes; what all are told stays as it was recorded."""
    quote = {
        "timestamp": START_MS + 1, "instrument_name": PERP, "best_bid_price": 60_000.0,
        "best_bid_amount": 500.0, "best_ask_price": 60_000.5, "best_ask_amount": 700.0,
    }  # fmt: skip
    frames = [frame(f"quote.{PERP}", quote),
              frame(f"trades.{PERP}.100ms", [trade(1), trade(2)])]  # fmt: skip
    path = write(tmp_path / "session.txt", frames)
    async with talking(session=path, speed=0, streams=1, money={"BTC": "1"}) as talk:
        await talk.auth()
        channels = [f"trades.{PERP}.raw", f"quote.{PERP}"]
        await talk.subscribe(*channels)
        await talk.subscribe("user.trades.any.any.raw", of="private")
        await talk.venue.wait_done()
        placed = await talk.ask("private/buy", instrument_name=PERP, amount=1000,
                                type="market")  # fmt: skip
        assert placed["order"]["filled_amount"] == 700
        (mine,) = placed["trades"]
        assert (mine["price"], mine["amount"]) == (60_000.5, 700)
        assert await talk.hear("user.trades.any.any.raw") == [[mine]]
        told = await talk.ask("public/get_last_trades_by_instrument",
                              instrument_name=PERP, sorting="asc")  # fmt: skip
        assert told["trades"] == [trade(1), trade(2)]
        heard = [row for rows in await talk.hear(channels[0]) for row in rows]
        assert heard == told["trades"]


@pytest.mark.tree
async def test_a_recording_in_a_process_of_its_own(tmp_path):
    """Its time is the recording's, and it plays as fast as it is told to."""
    frames = [frame(f"trades.{PERP}.100ms", [trade(seq)]) for seq in range(1, 31)]
    path = write(tmp_path / "session.txt", frames)
    async with open_emulator("deribit", session=path, speed=10) as venue:
        assert venue.conf.endswith(f'ws = "{venue.ws_url}"\nclock = "data"\n')
        async with open_ws(venue, "/ws/api/v2") as socket:
            talk = Talk(venue, socket)
            channel = f"trades.{PERP}.100ms"
            await talk.subscribe(channel)
            await talk.hear(channel, where=lambda rows: rows[-1]["trade_seq"] == 30)
            rows = [row for _, rows in talk.told for row in rows]
            assert rows == [trade(seq) for seq in range(1, 31)]
            assert await talk.ask("public/get_time") >= START_MS + 3000
        assert len(await venue.trades(PERP)) == 30


def test_what_is_no_recording(tmp_path):
    for text in ("{}", "nothing", ""):
        path = tmp_path / "x"
        path.write_text(text)
        with pytest.raises(SessionFileError, match="nothing in these files"):
            open_tape(Options("deribit", [path]))
    with pytest.raises(SessionFileError, match="can't read session"):
        open_tape(Options("deribit", [tmp_path / "nowhere"]))
