"""Secrets: read from three kinds of places, by one process, and shown by none."""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from piker.brokers._live._secrets import (
    Keys,
    Sealed,
    Secret,
    fields_of,
    own_part,
    parse_keys,
    read_keys,
)
from piker.errors import ConfigError, ServiceError

HIDDEN = "hunter2-hunter2"
FILE = Path("/conf/brokers.toml")


class Number(Sealed):
    """Of a backend whose accounts have something else to tell."""

    __slots__ = ("number",)
    number: Secret


def keys(text: str, broker: str = "kraken", path: Path = FILE) -> dict[str, Keys]:
    return parse_keys(text, broker, path, Keys)


def test_a_secret_shows_nowhere():
    secret = Secret(HIDDEN)
    held = Keys(secret, Secret("other"))
    for text in (
        repr(secret), str(secret), f"{secret}", f"{secret:>20}",
        repr(held), str(held), repr([secret]), repr({"a": held}),
    ):  # fmt: skip
        assert HIDDEN not in text
        assert "<secret>" in text
    assert secret.reveal() == HIDDEN
    assert secret == Secret(HIDDEN) != Secret("x")
    assert hash(secret) == hash(Secret("x"))


@pytest.mark.parametrize(
    "what",
    [Secret(HIDDEN), Keys(Secret(HIDDEN), Secret("x")), Number(Secret(HIDDEN))],
)
def test_a_secret_goes_nowhere(what):
    for ship in (
        pickle.dumps, copy.copy, copy.deepcopy, msgspec.msgpack.encode,
        msgspec.json.encode, msgspec.to_builtins,
    ):  # fmt: skip
        with pytest.raises(TypeError):
            ship(what)
    with pytest.raises(AttributeError):
        _ = what.__dict__


def test_a_traceback_with_values_shows_none():
    secret = Secret(HIDDEN)
    try:
        raise ValueError(secret)
    except ValueError as err:
        shown = "".join(
            traceback.TracebackException.from_exception(
                err, capture_locals=True
            ).format()
        )
    assert HIDDEN not in shown.replace(f'HIDDEN = "{HIDDEN}"', "")


def test_a_secret_is_a_text_a_command_or_a_file(tmp_path):
    held = tmp_path / "held"
    held.write_text(f"{HIDDEN}\n")
    held.chmod(0o600)
    told = keys(
        f"""
        [kraken.accounts.main]
        key = "the key"
        secret = {{cmd = ["printf", "%s\\\\n", "{HIDDEN}"]}}
        [kraken.accounts.other]
        key = {{file = "held"}}
        secret = {{file = "{held}"}}
        [binance.accounts.main]
        key = 5
        """,
        path=tmp_path / "brokers.toml",
    )
    assert sorted(told) == ["main", "other"]
    assert told["main"].key.reveal() == "the key"
    assert {
        told["main"].secret.reveal(), told["other"].key.reveal(),
        told["other"].secret.reveal(),
    } == {HIDDEN}  # fmt: skip
    assert keys("[binance.accounts.main]\nkey = 5") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[kraken.accounts.main]\nkey = '{HIDDEN}", "is no TOML"),
        (f"[kraken.accounts.main]\nkey = '{HIDDEN}'", r"wanted key and secret, got"),
        (f"[kraken.accounts.main]\nkey = '{HIDDEN}'\nsecret = 7", "wanted a text"),
        (f"[kraken.accounts.main]\nkey = '{HIDDEN}'\nsecret = ''", "1 to 8192"),
        (f"[kraken.accounts]\nmain = '{HIDDEN}'", "got no table"),
        (f"kraken = '{HIDDEN}'", "wanted tables"),
        (f"[kraken.main]\nkey = '{HIDDEN}'", r"kraken.main: no such key; accounts are"),
        ("[kraken.accounts.a]\nkey = 'x'\nsecret = {cmd = ['false']}", "exit code 1"),
        (
            "[kraken.accounts.a]\nkey = 'x'\nsecret = {cmd = ['/no/such']}",
            "can't be run",
        ),
        ("[kraken.accounts.a]\nkey = 'x'\nsecret = {cmd = []}", "can't be run"),
        ("[kraken.accounts.a]\nkey = 'x'\nsecret = {file = '/no'}", "can't be read"),
        ("[kraken.accounts.a]\nkey = 'x'\nsecret = {env = 'X'}", "wanted a text"),
    ],
)
def test_what_is_wrong_is_said_without_a_secret(text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        keys(text)
    assert HIDDEN not in str(caught.value)
    assert str(FILE) in str(caught.value)


def test_a_file_of_a_secret_is_to_be_private(tmp_path):
    held = tmp_path / "held"
    held.write_text(HIDDEN)
    held.chmod(0o644)
    with pytest.raises(ConfigError, match="has mode 0644: chmod 600 it"):
        keys(f"[kraken.accounts.a]\nkey = 'x'\nsecret = {{file = '{held}'}}")


def test_no_other_process_may_read_them():
    with pytest.raises(ServiceError, match="a process with no actor may not read"):
        read_keys("kraken", Keys)


def test_a_backend_says_what_its_accounts_have():
    text = f"""
        [ib.accounts.main]
        number = "{HIDDEN}"
        [ib.accounts.second]
        number = {{cmd = ["printf", "DU2"]}}
    """
    told = parse_keys(text, "ib", FILE, Number)
    assert {label: each.number.reveal() for label, each in told.items()} == {
        "main": HIDDEN, "second": "DU2",
    }  # fmt: skip
    assert repr(told["main"]) == "Number(<secret>)"
    assert (fields_of(Number), fields_of(Keys)) == ("number", "key and secret")
    with pytest.raises(ValueError, match="shorter"):
        Keys(Secret("x"))


@pytest.mark.parametrize("more", ["key = 'x'", "secret = 'x'", "nick = 'x'"])
def test_what_a_backend_does_not_ask_for_is_refused(more):
    text = f"[ib.accounts.main]\nnumber = '{HIDDEN}'\n{more}"
    with pytest.raises(ConfigError, match="wanted number, got") as caught:
        parse_keys(text, "ib", FILE, Number)
    assert HIDDEN not in str(caught.value)
    with pytest.raises(ConfigError, match="wanted key and secret, got"):
        parse_keys(text, "ib", FILE, Keys)


# -- of the file, a broker's own part -------------------------------------------------

TEXT = '''
[binance.accounts.main]
key = "B-KEY"
secret = """B
[kraken.accounts.fake]
SECRET"""

 [ kraken . accounts . main ]
key = "K-KEY"
secret = "K-SECRET"

["kraken".accounts.two]
key = 'K-TWO'

[krakenfutures.accounts.main]
key = "F-KEY"
'''


def test_only_its_own_part_is_copied():
    part = own_part(bytearray(TEXT.encode()), "kraken").decode()
    assert part.count("\n") == TEXT.count("\n")
    assert all(word in part for word in ("K-KEY", "K-SECRET", "K-TWO"))
    assert not any(word in part for word in ("B-KEY", 'SECRET"""', "fake", "F-KEY"))
    assert own_part(bytearray(TEXT.encode()), "deribit").strip() == b""


@given(st.text(alphabet="[]kraken.\n\"' ab", max_size=200))
def test_any_text_is_cut(text):
    held = bytearray(text.encode())
    part = own_part(held, "kraken")
    assert held.decode() == text
    # line by line it is theirs or empty
    for mine, theirs in zip(part.split(b"\n"), text.encode().split(b"\n"), strict=True):
        assert mine in (b"", theirs)
