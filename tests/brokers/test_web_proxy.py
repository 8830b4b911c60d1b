"""A proxy's URL holds a password: no error and no log repeats any of it."""

from __future__ import annotations

import logging
import traceback

import pytest

from piker.brokers._web import RateBudget, open_http, open_hub
from piker.brokers._web._conf import WebConf
from piker.brokers._web._ws import open_socket
from piker.config import load_broker_config
from piker.errors import ConfigError, VenueError
from piker.testing import private_dirs
from tests.brokers._ws_venue import WsVenue

GOOD = [
    "http://127.0.0.1:3128",
    "https://proxy",
    "socks5h://bob:s3cret@proxy.example:1080",
    "http://bob:s3cr%40et@[::1]:8080",
]
#: What is wrong with each: a character of the password, or no host, or no port.
BAD = [
    "http://bob:7#s3cret@proxy:8080",
    "http://bob:s3cret?@proxy:8080",
    "http://bob:s3cret/@proxy:8080",
    "http://bob:s3cret@x@proxy:8080",
    "http://bob:s3cret@:8080",
    "http://bob:s3cret@",
    "http://bob:s3cret",
    "http://bob:x@s3cret:port",
    "http://bob:s3cret@[::1",
    "http://bob:s3cret@proxy:123456",
    "ftp://bob:s3cret@proxy",
]
#: Legal to look at, and no host all the same.
ODD = [*BAD, "http://bob:s3cret@127.0.0.1:99999", "http://bob:s3cret@ho\u2100st:80"]


@pytest.mark.parametrize("proxy", GOOD)
def test_a_proxy_that_can_be(tmp_path, proxy):
    with private_dirs(tmp_path, f'[brokers.kraken]\nproxy = "{proxy}"\n'):
        assert load_broker_config("kraken", WebConf).proxy == proxy


@pytest.mark.parametrize("proxy", BAD)
def test_a_proxy_that_cannot_be(tmp_path, proxy):
    with private_dirs(tmp_path, f'[brokers.kraken]\nproxy = "{proxy}"\n'):
        with pytest.raises(ConfigError, match=r"kraken.proxy.*HOST\[:PORT\]") as caught:
            load_broker_config("kraken", WebConf)
    assert "s3cret" not in str(caught.value)


async def faults_of(proxy: str) -> list[VenueError]:
    """Return how a venue's two ways fail through a proxy."""
    found = []
    with pytest.raises(VenueError) as caught:
        async with open_socket("x", "ws://x.invalid/", proxy=proxy, deadline_s=2):
            pass
    found.append(caught.value)
    with pytest.raises(VenueError) as caught:
        async with open_http(
            "x", "http://x.invalid", RateBudget(100, 1.0), proxy=proxy,
            failure_of=lambda _: None, deadline_s=2,
        ) as http:  # fmt: skip
            await http.get("/")
    found.append(caught.value)
    return found


@pytest.mark.parametrize("place", ["conf", "environment"])
@pytest.mark.parametrize("proxy", ODD)
async def test_no_error_tells_its_password(proxy, place, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    if place == "environment":
        for name in ("http_proxy", "https_proxy", "ws_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy)
            monkeypatch.delenv("no_proxy", raising=False)
    for error in await faults_of(proxy if place == "conf" else ""):
        told = "".join(traceback.format_exception(error))
        for text in (str(error), told, caplog.text):
            assert "s3cret" not in text
            assert "bob:" not in text


async def test_no_repr_tells_it():
    async with open_hub(WsVenue().dialect(), proxy="http://bob:s3cret@h") as hub:
        assert "s3cret" not in repr(hub)
