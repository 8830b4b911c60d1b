"""REST against a server on the loopback that does all a venue's front might do."""

from __future__ import annotations

import gc
import gzip
import ssl
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio

from piker.brokers._payload import Failure
from piker.brokers._web import Backoff, RateBudget, _http, open_http
from piker.errors import (
    BadPayload,
    MarketGone,
    PikerError,
    RateLimited,
    VenueRefused,
    VenueUnreachable,
)
from tests.brokers._loopback import JSON, answer, open_server

PAGE = b"<!DOCTYPE html>\n<html>Just a moment...</html>"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Try again at once."""
    monkeypatch.setattr(_http, "Backoff", lambda **_: Backoff(0.01, 0.01))


def failure_of(body: bytes) -> Failure | None:
    """Read refusals of a venue that says ``no:reason:text``."""
    if body.startswith(b"no:"):
        _, reason, text = body.decode().split(":", 2)
        return Failure(reason, text)
    if body.startswith(b"{"):
        return None
    raise BadPayload(f"not what x documents: {body[:20]!r}")


@asynccontextmanager
async def open_client(url, *, deadline_s=5.0, budget=None, **options):
    budget = budget or RateBudget(1000, 1.0)
    options = {"failure_of": failure_of, "deadline_s": deadline_s} | options
    async with open_http("x", url, budget, **options) as http:
        yield http


async def ask(*answers, **options):
    """Ask a server that gives these answers; return what came and how often."""
    async with open_server(*answers) as server:
        async with open_client(server.url, **options) as http:
            ends = trio.current_time() + options.get("deadline_s", inf)
            try:
                came = await http.get("/a", {"b": 1})
            except PikerError as err:
                came = err
            # one that its deadline ends may not have been read by the server
            unread = http.requests - len(server.asked)
            assert unread in ((0, 1) if trio.current_time() >= ends else (0,))
            return came, len(server.asked)


async def test_an_answer_is_its_bytes():
    async with open_server(answer()) as server, open_client(server.url + "/") as http:
        assert await http.get("/a", {"b": 1, "c": "d"}) == JSON
        told = await http.ask("/a")
        assert told.body == JSON
        assert 0 < told.came_ns - told.sent_ns < 5e9, "its deadline"
        assert [path for _, path in server.asked] == ["/a?b=1&c=d", "/a"]


async def test_certificates_are_loaded_for_tls_only(monkeypatch):
    loaded = []
    load = ssl.SSLContext.load_verify_locations

    def note(self, *args, **kwargs):
        loaded.append(args or kwargs)
        return load(self, *args, **kwargs)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    async with open_client("http://x.invalid"):
        assert not loaded
    async with open_client("https://x.invalid"):
        assert loaded


async def mid_body(stream):
    await stream.send_all(answer(JSON[:5], length=12))


async def reset(stream):
    stream.setsockopt(
        trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0" + b"\0" * 4
    )


async def nonsense(stream):
    await stream.send_all(b"220 smtp ready\r\n\r\n")


async def says_nothing(stream):
    await stream.receive_some()


ZIPPED = gzip.compress(JSON)
CASES = {
    # a page in place of data
    "page": (answer(PAGE), BadPayload, "web page instead of data", 3),
    "page of 403": (answer(PAGE, "403 No"), BadPayload, "web page", 3),
    "page of 502": (answer(PAGE, "502 No"), VenueUnreachable, "web page", 3),
    # a refusal, with the venue's words and without
    "400": (answer(b"no:other:bad symbol", "400 No"), VenueRefused, "bad symbol", 1),
    "404": (answer(b"", "404 No"), VenueRefused, "HTTP 404", 1),
    "451": (answer(b"{}", "451 No"), VenueRefused, "HTTP 451", 1),
    "no market": (
        answer(b"no:market:no such pair", "400 No"), MarketGone, "no such pair", 1,
    ),
    "400 of no sense": (answer(b"?", "400 No"), VenueRefused, "HTTP 400", 1),
    "400 unavailable": (
        answer(b"no:unavailable:upkeep", "400 No"), VenueUnreachable, "upkeep", 3,
    ),
    # out of order
    "500": (answer(b"", "500 No"), VenueUnreachable, "HTTP 500", 3),
    "503": (answer(b"{}", "503 No"), VenueUnreachable, "out of order", 3),
    "408": (answer(b"", "408 No"), VenueUnreachable, "HTTP 408", 3),
    # not where it should be
    "301": (answer(PAGE, "301 No", "Location: /"), VenueUnreachable, "elsewhere", 3),
    "302": (answer(b"", "302 No", "Location: /b"), VenueUnreachable, "elsewhere", 3),
    # no whole answer
    "cut off": (mid_body, VenueUnreachable, "can't be reached", 3),
    "reset": (reset, VenueUnreachable, "can't be reached", 3),
    "no HTTP": (nonsense, VenueUnreachable, "can't be reached", 3),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_each_fault_is_one_of_ours(case):
    told, kind, words, times = CASES[case]
    came, asked = await ask(told)
    assert type(came) is kind
    assert words in str(came)
    assert "\n" not in str(came)
    assert asked == times


async def test_who_is_kept_out_for_now_waits_and_asks_again(monkeypatch):
    """Binance's firewall says so with 403, where others say 429."""
    monkeypatch.setattr(_http, "_RETRY_AFTER_S", 0.1)
    forbidden = answer(b"{}", "403 Forbidden")
    began = trio.current_time()
    assert await ask(forbidden, answer()) == (JSON, 2)
    assert trio.current_time() - began >= 0.1
    came, _ = await ask(forbidden, deadline_s=1.0)
    assert type(came) is RateLimited
    assert "x keeps this address out for now: HTTP 403" in str(came)


async def test_a_refusal_that_looks_like_an_answer():
    refusal = answer(b"no:market:unknown pair")
    came, asked = await ask(refusal, fails_with_200=True)
    assert type(came) is MarketGone
    assert str(came) == "x has no such market: unknown pair"
    assert asked == 1
    came, asked = await ask(answer(b"?"), fails_with_200=True)
    assert type(came) is BadPayload
    assert asked == 3
    assert await ask(refusal) == (b"no:market:unknown pair", 1)


async def test_what_passes_is_tried_again():
    for bad in (answer(b"", "502 No"), answer(PAGE), reset, mid_body):
        assert await ask(bad, bad, answer()) == (JSON, 3)


# httpx leaves its generators to the collector where its decoder raises
@pytest.mark.filterwarnings("ignore:Async generator 'http:ResourceWarning")
async def test_zipped_answers_are_read():
    told = answer(ZIPPED, "200 OK", "Content-Encoding: gzip")
    assert await ask(told) == (JSON, 1)
    bad = answer(ZIPPED[:12] + b"x" * 20, "200 OK", "Content-Encoding: gzip")
    came, asked = await ask(bad)
    assert type(came) is VenueUnreachable
    assert asked == 3
    gc.collect()


# -- who doesn't answer ----------------------------------------------------------------


async def trickle(stream):
    """Send a byte now and then, for ever."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await stream.send_all(b" ")
        await trio.sleep(0.1)


async def trickle_head(stream):
    await stream.send_all(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        await stream.send_all(b"y")
        await trio.sleep(0.1)


async def slow(stream):
    await trio.sleep(0.3)
    await stream.send_all(answer(b"", "500 No"))


@pytest.mark.parametrize("how", [says_nothing, trickle, trickle_head, slow])
async def test_every_request_has_a_deadline(how):
    began = trio.current_time()
    came, _ = await ask(how, deadline_s=0.6)
    assert type(came) is VenueUnreachable
    assert 0.5 < trio.current_time() - began < 10


async def test_nobody_listens_and_names_that_are_none():
    async with open_server(answer()) as server:
        port = server.port
    for url, words in (
        (f"http://127.0.0.1:{port}", "refused"),
        ("http://no-such-host.invalid", "looked up"),
        ("http://127.0.0.1:99999", "127.0.0.1: "),
    ):
        async with open_client(url) as http:
            with pytest.raises(VenueUnreachable, match=words):
                await http.get("/")


async def test_no_tls_there():
    async with open_server(nonsense) as server:
        async with open_client(server.url.replace("http", "https")) as http:
            with pytest.raises(VenueUnreachable, match="doesn't speak TLS"):
                await http.get("/")


@pytest.mark.parametrize("url", ["http://[::1", "http://a:b"])
async def test_a_url_that_is_none_is_refused(url):
    async with open_client(url) as http:
        with pytest.raises(VenueRefused, match="is no URL"):
            await http.get("/a")


async def test_a_proxy_that_fails():
    async with open_server(answer(b"", "407 No")) as server:
        for url, proxy, kind in (
            ("http://x.invalid", "http://127.0.0.1:9", VenueUnreachable),
            ("https://x.invalid", server.url, VenueUnreachable),
            ("http://x.invalid", server.url, VenueRefused),
        ):
            async with open_client(url, proxy=proxy) as http:
                with pytest.raises(kind) as caught:
                    await http.get("/")
            assert "x.invalid" in str(caught.value)
    for proxy in ("http://[::1", "socks5://127.0.0.1:9"):
        with pytest.raises(VenueRefused, match="proxy that is configured"):
            async with open_client("http://x.invalid", proxy=proxy):
                pass


async def test_a_body_without_end_is_not_kept(monkeypatch):
    monkeypatch.setattr(_http, "MAX_BODY", 2**20)

    async def flood(stream):
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"
        )
        while True:
            await stream.send_all(b" " * 65536)

    came, _ = await ask(flood)
    assert type(came) is BadPayload
    assert "more than 1 MiB" in str(came)
    bomb = answer(gzip.compress(b" " * 2**24), "200 OK", "Content-Encoding: gzip")
    came, _ = await ask(bomb)
    assert type(came) is BadPayload


# -- who asks too often ----------------------------------------------------------------

DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
PAUSES = {
    "seconds": (["Retry-After: 7"], 7),
    "of no length": (["Retry-After: 0"], 0.1),
    "negative": (["Retry-After: -5"], 0.1),
    "a date": ([DATE, "Retry-After: Sun, 06 Nov 1994 08:50:37 GMT"], 60),
    "a date gone by": ([DATE, "Retry-After: Sun, 06 Nov 1994 08:40:00 GMT"], 0.1),
    "a date by no clock": (["Retry-After: Sun, 06 Nov 2994 08:50:37 GMT"], 3 * 86_400),
    "absent": ([], 5),
    "garbage": (["Retry-After: soon"], 5),
    "no number": (["Retry-After: nan"], 5),
    "endless": (["Retry-After: inf"], 5),
    "no date": (["Retry-After: Sun, 99 Nov 1994 08:50:37 GMT"], 5),
    "years": (["Retry-After: 999999999"], 3 * 86_400),
}


class Noted(RateBudget):
    """Keeps for how long it was told to pause."""

    def pause(self, seconds: float) -> None:
        self.told = [*getattr(self, "told", []), seconds]
        super().pause(seconds)


@pytest.mark.parametrize("case", PAUSES)
@pytest.mark.parametrize("status", [429, 418])
async def test_a_pause_is_as_long_as_asked_for(case, status):
    headers, pause_s = PAUSES[case]
    budget = Noted(1000, 1.0)
    told = answer(PAGE, f"{status} No", *headers)
    # who is told to wait for longer than that doesn't wait at all
    deadline_s = 1.0 if pause_s < 1 else 4.5
    async with open_server(told) as server:
        async with open_client(
            server.url, budget=budget, deadline_s=deadline_s
        ) as http:
            with pytest.raises(RateLimited, match="asks for a pause"):
                await http.get("/a")
    assert budget.told[0] == pause_s
    assert len(server.asked) == 1 or pause_s < 1


async def test_who_is_told_to_pause_waits_and_asks_again():
    limited = answer(b"", "429 No", "Retry-After: 0.3")
    async with open_server(limited, limited, answer()) as server:
        async with open_client(server.url) as http:
            began = trio.current_time()
            assert await http.get("/a") == JSON
            assert 0.6 < trio.current_time() - began < 5
            assert len(server.asked) == 3


async def test_all_who_ask_wait_and_none_for_longer_than_its_deadline():
    limited = answer(b"", "418 No", "Retry-After: 60")
    async with open_server(limited, answer()) as server:
        async with open_client(server.url) as http:
            for _ in range(3):
                with pytest.raises(RateLimited, match=r"pause of (60|5\d) s"):
                    await http.get("/a")
            assert len(server.asked) == 1


async def test_the_venues_own_word_for_it():
    came, asked = await ask(
        answer(b"no:limit:slow down"), fails_with_200=True, deadline_s=4.0
    )
    assert type(came) is RateLimited
    assert asked == 1


async def test_a_budget_that_is_spent_is_named_not_the_venue():
    budget = RateBudget(2, 60.0)
    async with open_server(answer()) as server:
        async with open_client(server.url, budget=budget) as http:
            await http.get("/a", weight=2)
            http.deadline_s = 0.3
            with pytest.raises(RateLimited, match=r"allows in 60 s is spent"):
                await http.get("/a")
            assert len(server.asked) == 1
