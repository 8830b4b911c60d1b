"""``piker quotes`` and ``piker search`` at web venues: each fault is a sentence."""

from __future__ import annotations

import json

import pytest
import trio

from piker.testing import free_port
from piker.testing.emulator import conf_of, open_emulator
from tests.cli import _cli

pytestmark = pytest.mark.tree

NOWHERE = "127.0.0.1:9"
BINANCE = "btcusdt.spot.binance"


def binance(rest: str, more: str = "") -> str:
    urls = "".join(
        f'{service}_{kind} = "{rest if kind == "rest" else "ws://" + NOWHERE}"\n'
        for service in ("spot", "usdtm")
        for kind in ("rest", "ws")
    )
    return f"[brokers.binance]\n{urls}{more}"


@pytest.mark.parametrize(
    ("conf", "code", "words"),
    [
        (binance(f"http://{NOWHERE}"), 1, ("127.0.0.1:9", "refused")),
        (binance("http://no-such-host.invalid"), 1, ("no-such-host", "looked up")),
        (
            binance("http://127.0.0.1:1", f'proxy = "http://{NOWHERE}"\n'),
            1,
            ("can't be reached", "refused"),
        ),
        (
            binance("ftp://somewhere"),
            1,
            ("conf.toml", "brokers.binance.spot_rest", "URL"),
        ),
        (binance("http://x", "spotrest = 1\n"), 1, ("brokers.binance.spotrest",)),
    ],
    ids=["refused", "no such host", "proxy", "wrong url", "unknown key"],
)
async def test_a_venue_that_is_not_to_be_had(open_test_pikerd, conf, code, words):
    async with open_test_pikerd(conf=conf) as tree:
        said = await _cli.run(
            "quotes", "btcusdt.spot.binance", "-n", "1", "--json", env=tree.env
        )
        said.refused(code, *words)


async def test_a_market_that_a_venue_does_not_list(open_test_pikerd):
    async with (
        open_emulator("kraken.spot", sim=["btcusdt.spot.sim"], past_s=600) as kraken,
        open_emulator("binance.spot", sim=["btcusdt.spot.sim"], past_s=600) as binance,
        open_test_pikerd(conf=conf_of(kraken, binance)) as tree,
    ):
        async with trio.open_nursery() as asking:
            for name, words in (
                ("nosuch.spot.kraken", ("nosuch.spot.kraken",)),
                ("btcusd.kraken", ("btcusd.kraken", "xbtusdt.spot.kraken")),
                ("btcusdt.spot.20301227.binance", ("btcusdt.spot.binance",)),
            ):
                asking.start_soon(be_refused, name, words, tree.env)
        said = await _cli.run("search", "btcusdt", "-b", "kraken", env=tree.env)
        assert said.code == 0, said
        assert "xbtusdt.spot.kraken" in said.out


async def be_refused(name, words, env):
    said = await _cli.run("quotes", name, "-n", "1", "--json", env=env)
    said.refused(2, *words)


async def test_quotes_wait_when_told_so(open_test_pikerd):
    """Why is said once; then there are quotes, as if the venue had been there."""
    port = free_port()
    conf = (
        f'[brokers.kraken]\nrest = "http://127.0.0.1:{port}"\n'
        f'ws = "ws://127.0.0.1:{port}"\n'
    )
    async with open_test_pikerd(conf=conf) as tree:
        args = ("quotes", "xbtusdt.kraken", "-n", "2", "--json", "--wait")
        async with _cli.start(*args, env=tree.env) as quotes:
            why = await quotes.error_line()
            assert why.startswith("waiting: kraken can't be reached"), why
            await trio.sleep(1.5)  # it asks again meanwhile
            assert quotes.proc.poll() is None
            async with open_emulator(
                "kraken.spot", sim=["btcusdt.spot.sim"], past_s=600, port=port
            ):
                out, err = await quotes.rest()
            assert await quotes.proc.wait() == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert [(one["type"], one.get("fqme")) for one in told] == [
        ("quote", "xbtusdt.spot.kraken")
    ] * 2, told
    assert not err


async def test_a_venue_that_offers_no_tls(open_test_pikerd):
    async with (
        open_emulator("kraken.spot", sim=["btcusdt.spot.sim"], past_s=600) as kraken,
        open_test_pikerd(conf=kraken.conf.replace("http:", "https:")) as tree,
    ):
        said = await _cli.run("quotes", "xbtusdt.kraken", "-n", "1", env=tree.env)
        said.refused(1, "kraken", "https://127.0.0.1", "doesn't speak TLS")


async def test_answers_that_can_not_be_read(open_test_pikerd):
    """A proxy's page, or other JSON than documented: a sentence, whatever was asked."""
    async with (
        open_emulator("binance.spot", sim=["btcusdt.spot.sim"], past_s=600) as venue,
        open_emulator("kraken.spot", sim=["btcusdt.spot.sim"], past_s=600) as kraken,
        open_test_pikerd(conf=conf_of(venue, kraken)) as tree,
    ):

        async def ask(name, n="1"):
            return await _cli.run("quotes", name, "-n", n, "--json", env=tree.env)

        klines = {"status": 200, "count": 0, "path": "/api/v3/klines"}
        for path, html, words in (
            ("exchangeInfo", True, ("web page", "127.0.0.1")),
            ("exchangeInfo", False, ("not what binance documents",)),
            ("time", False, ("not what binance documents",)),
            ("ticker/bookTicker", False, ("not what binance documents",)),
            ("aggTrades", True, ("web page",)),
        ):
            bad = {"status": 200, "count": 0, "path": f"/api/v3/{path}", "html": html}
            await venue.fault("http", **bad)
            await venue.fault("http", **klines)  # else they are there when it opens
            (await ask("btcusdt.spot.binance")).refused(1, *words)
            await venue.clear()

        await venue.fault("http", **klines)
        said = [json.loads(line) for line in (await ask(BINANCE)).out.splitlines()]
        told = [line["reason"] for line in said if line["type"] == "warned"]
        assert len(told) == 1
        assert told[0].startswith("no history: not what binance documents")
        assert said[-1]["type"] == "quote"

        await kraken.fault("http", status=200, count=0, path="/0/public/Trades")
        args = ("quotes", "xbtusdt.kraken", "--json")
        async with _cli.start(*args, env=tree.env) as quotes:
            line = json.loads(await quotes.line())
            assert line["type"] == "disconnected"
            assert "missed can't be fetched yet: not what kraken" in line["reason"]
            await kraken.clear()
            types = [json.loads(await quotes.line())["type"] for _ in range(3)]
            assert types == ["reconnected", "quote", "quote"]
