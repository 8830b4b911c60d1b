"""Ledgers: what is appended is there, once; what a human wrote is read or named."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tomllib
from decimal import Decimal as D  # noqa: N817

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec.structs import replace

from piker import config
from piker.accounting import (
    AccountName,
    Transaction,
    _by_hand,
    _content,
    _lines,
    list_accounts,
    open_ledger,
    read_ledger,
)
from piker.accounting._transaction import MAX_NS, fault_of, show_ns
from piker.errors import (
    LedgerBusy,
    LedgerChanged,
    LedgerDamaged,
    LedgerError,
    LedgerFull,
    UsageError,
)

NAME = AccountName(broker="sim", label="paper")


@pytest.fixture(autouse=True)
def dirs(tmp_path):
    with config.use_dirs(config.Dirs.under(tmp_path)):
        yield


def trade(i: int, **kwargs) -> Transaction:
    fields = {
        "tid": f"t{i}",
        "fqme": "btcusdt.spot.sim",
        "size": D("-0.001") if i % 2 else D("0.001"),
        "price": D(f"10{i}.50"),
        "cost": D("0.0000001"),
        "time_ns": 1_700_000_000_000_000_000 + i,
        "oid": f"o{i}",
    }
    return Transaction(**(fields | kwargs))


def fill(count: int = 3) -> bytes:
    """Make a ledger; return its bytes."""
    with open_ledger("sim", "paper") as ledger:
        ledger.append(*map(trade, range(count)))
    return NAME.ledger.read_bytes()


def read() -> tuple[Transaction, ...]:
    return read_ledger("sim", "paper").txns


def test_what_is_appended_is_read_again():
    with open_ledger("sim", "paper") as ledger:
        assert ledger.seq == 0
        assert ledger.append(trade(0)) == 1
        assert ledger.append(trade(1), trade(2)) == 3
        assert ledger.append() == 3
        assert read() == ledger.txns == tuple(map(trade, range(3)))
        assert ledger.seq_of("t1") == 2
        assert ledger.seq_of("t9") is None
        assert ledger.since(1) == ((2, trade(1)), (3, trade(2)))
        assert ledger.since(3) == ledger.since(9) == ()
        assert len(ledger.since(0)) == len(ledger.since(-1)) == len(ledger) == 3
    text = NAME.ledger.read_text()
    assert text.startswith("# Trades of sim.paper")
    assert '["t1"]\nfqme = "btcusdt.spot.sim"\nsize = -0.001\nprice = 101.50\n' in text
    assert 'oid = "o1"\ndt = "2023-11-14T22:13:20.000000001Z"\n\n' in text
    with open_ledger("sim", "sim.paper") as ledger:
        assert not ledger.torn
        assert ledger.append(trade(3)) == 4
    with pytest.raises(LedgerError, match="is closed"):
        ledger.append(trade(4))
    ledger.close()


def test_a_trade_is_booked_once():
    with open_ledger("sim", "paper") as ledger:
        ledger.append(trade(0), trade(1))
        size = NAME.ledger.stat().st_size
        assert ledger.append(trade(0)) == 1
        assert ledger.append(trade(1), trade(0)) == 1
        assert NAME.ledger.stat().st_size == size
        assert ledger.append(trade(0), trade(2), trade(2)) == 3
        assert ledger.append(replace(trade(0), price=D("100.5"))) == 1
        with pytest.raises(
            LedgerError, match="'t0' is in the ledger .* other contents"
        ):
            ledger.append(trade(3), trade(0, price=D(7)))
        with pytest.raises(LedgerError, match="other contents"):
            ledger.append(trade(3), trade(3, price=D(7)))
        assert ledger.seq == 3
    assert len(read()) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tid": ""}, "tid: wanted 1 to 200"),
        ({"tid": "a\nb"}, "tid: wanted 1 to 200"),
        ({"oid": "x" * 201}, "oid: wanted 0 to 200"),
        ({"fqme": "BTCUSDT.spot.sim"}, "fqme: write it in lower case"),
        ({"fqme": "btcusdt"}, "fqme: market name 'btcusdt' has no broker"),
        ({"fqme": "xbteur.spot.kraken"}, "is not a market of sim"),
        ({"size": D(0)}, "a clear of size 0"),
        ({"size": D("nan")}, "size: wanted a number"),
        ({"price": D("inf")}, "price: wanted a number"),
        ({"price": D("1e40")}, "price: wanted a number"),
        ({"cost": D("1e-41")}, "cost: wanted a number"),
        ({"multiplier": D(0)}, "multiplier: wanted a number > 0"),
        (
            {"inverse": True, "price": D(0)},
            "price: of an inverse contract wanted > 0, got 0",
        ),
        ({"time_ns": -1}, "dt: wanted a time from 1970"),
        ({"time_ns": MAX_NS + 1}, "dt: wanted a time from 1970"),
        ({"etype": "gift"}, "etype: wanted one of clear, transfer, split, expiry, fee"),
        ({"etype": "fee"}, "a fee by itself has a cost"),
        ({"etype": "split"}, "ratio: wanted NEW:OLD"),
        ({"ratio": "2:1"}, "ratio: only a split has one"),
        ({"expiry": "20260231"}, "expiry: wanted yyyymmdd"),
        ({"expiry": "x"}, "expiry: wanted yyyymmdd"),
    ],
)
def test_a_trade_with_a_fault_is_refused(fields, words):
    raw = fill()
    with open_ledger("sim", "paper") as ledger:
        with pytest.raises(LedgerError) as caught:
            ledger.append(trade(5), trade(4, **fields))
    assert words in str(caught.value)
    assert NAME.ledger.read_bytes() == raw


def test_names_keep_all_of_their_letters():
    assert AccountName.of("ib", "ib.ira").ledger.name == "trades_ib_ira.toml"
    assert AccountName.of("ib", "ira") == AccountName.parse("ib.ira")
    assert AccountName.of("ib", "bib").label == "bib"
    assert AccountName.parse("ib.a_b-c").ledger.name == "trades_ib_a_b-c.toml"
    for text in ("ib", "", "ib.", ".ira", "IB.ira", "a_b.c", "ib.a.b", "ib.../x"):
        with pytest.raises(UsageError):
            AccountName.parse(text)
    for label in ("ira", "a_b", "Z-1"):
        open_ledger("ib", label).close()
    open_ledger("sim", "paper").close()
    assert list(map(str, list_accounts())) == [
        "ib.Z-1",
        "ib.a_b",
        "ib.ira",
        "sim.paper",
    ]


def test_there_is_one_writer_and_any_number_of_readers():
    with open_ledger("sim", "paper") as ledger:
        ledger.append(trade(0))
        with pytest.raises(LedgerBusy, match=rf"process {os.getpid()} .*sim\.paper"):
            open_ledger("sim", "paper")
        assert len(read()) == 1
        open_ledger("sim", "other").close()
    open_ledger("sim", "paper").close()


def test_another_process_is_refused():
    code = "import piker.accounting as a; a.open_ledger('sim', 'paper')"
    env = os.environ | {
        f"PIKER_{kind.upper()}_DIR": getattr(config.current_dirs(), kind)
        for kind in ("config", "state", "cache", "runtime")
    }
    with open_ledger("sim", "paper"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            env=env,
            capture_output=True,
            text=True,
        )
    assert f"LedgerBusy: process {os.getpid()} " in done.stderr
    done = subprocess.run([sys.executable, "-c", code], check=False, env=env)
    assert done.returncode == 0


def test_no_ledger_is_an_error_and_makes_none():
    with pytest.raises(LedgerError, match="no ledger of sim.paper"):
        read()
    assert not config.state_dir().exists()


# -- disks that fail ---------------------------------------------------------------


def refuse(patch, name: str, number: int, kept: int = 0):
    """Make os.*name* fail, after *kept* bytes where it writes."""
    real = getattr(os, name)

    def fail(fd, *args):
        if kept:
            return real(fd, args[0][:kept], *args[1:])
        raise OSError(number, os.strerror(number))

    patch.setattr(os, name, fail)


@pytest.mark.parametrize(
    ("name", "number", "kept", "kind"),
    [
        ("pwrite", errno.ENOSPC, 0, LedgerFull),
        ("pwrite", errno.EDQUOT, 0, LedgerFull),
        ("pwrite", errno.ENOSPC, 30, LedgerFull),
        ("fdatasync", errno.ENOSPC, 0, LedgerFull),
        ("fdatasync", errno.EIO, 0, LedgerError),
    ],
)
def test_a_full_disk_leaves_the_ledger_as_it_was(monkeypatch, name, number, kept, kind):
    raw = fill()
    with open_ledger("sim", "paper") as ledger:
        with monkeypatch.context() as patch:
            refuse(patch, name, number, kept)
            with pytest.raises(kind, match="it is as it was"):
                ledger.append(trade(3))
        assert NAME.ledger.read_bytes() == raw
        assert ledger.seq == 3
        assert ledger.append(trade(3)) == 4
    assert read() == tuple(map(trade, range(4)))


def test_what_can_not_be_taken_back_ends_the_writing(monkeypatch):
    fill()
    with open_ledger("sim", "paper") as ledger:
        with monkeypatch.context() as patch:
            refuse(patch, "fdatasync", errno.EIO)
            refuse(patch, "ftruncate", errno.EIO)
            with pytest.raises(LedgerError):
                ledger.append(trade(3))
        with pytest.raises(LedgerError, match="closed"):
            ledger.append(trade(4))
    open_ledger("sim", "paper").close()


def test_a_cache_that_can_not_be_written_is_none(monkeypatch):
    raw = fill()
    NAME.cache.unlink()
    NAME.cache.parent.rmdir()
    NAME.cache.parent.write_text("no folder")
    assert read() == tuple(map(trade, range(3)))
    assert NAME.ledger.read_bytes() == raw


# -- crashes -----------------------------------------------------------------------


def test_a_file_cut_at_every_byte_of_the_last_trade():
    raw = fill()
    last = raw.index(b'["t2"]')
    whole = len(raw) - 2  # without the two ends of line it is all there
    for size in range(last, len(raw) + 1):
        for path in NAME.ledger.parent.glob("*.torn-*"):
            path.unlink()
        NAME.ledger.write_bytes(raw[:size])
        kept = 3 if size >= whole else 2
        assert read() == tuple(map(trade, range(kept))), size
        with open_ledger("sim", "paper") as ledger:
            assert ledger.seq == kept, size
            assert bool(ledger.torn) == (last < size < whole), size
            assert ledger.append(trade(2)) == 3
            assert ledger.append(trade(7)) == 4
        assert read() == (*map(trade, range(3)), trade(7)), size
        asides = list(NAME.ledger.parent.glob("*.torn-*"))
        if last < size < whole:
            assert [path.read_bytes() for path in asides] == [raw[last:size]]
            assert asides[0].name in ledger.torn
        else:
            assert not asides


def test_a_file_cut_within_its_head():
    open_ledger("sim", "paper").close()
    head = NAME.ledger.read_bytes()
    for size in range(len(head)):
        NAME.ledger.write_bytes(head[:size])
        with open_ledger("sim", "paper") as ledger:
            ledger.append(trade(0))
        assert read() == (trade(0),), size


@pytest.mark.parametrize("kept", [0, 1, 20, 60])
def test_zeros_that_a_power_cut_left(kept):
    raw = fill()
    last = raw.index(b'["t2"]')
    NAME.ledger.write_bytes(raw[: last + kept] + bytes(100))
    assert len(read()) == 2
    with open_ledger("sim", "paper") as ledger:
        assert "set aside" in ledger.torn
        assert ledger.append(trade(2)) == 3
    assert NAME.ledger.read_bytes() == raw
    (aside,) = NAME.ledger.parent.glob("*.torn-*")
    assert aside.read_bytes() == raw[last : last + kept] + bytes(100)


def test_zeros_amid_the_file_are_no_torn_end():
    raw = fill()
    spoiled = raw.replace(b"101.50", b"\0" * 6)
    NAME.ledger.write_bytes(spoiled)
    with pytest.raises(LedgerDamaged, match="key 'price'"):
        open_ledger("sim", "paper")
    assert NAME.ledger.read_bytes() == spoiled


# -- hands -------------------------------------------------------------------------

HAND_MADE = [
    ("price = 101.50", "price = 1o1.50", 15, "price", "no TOML"),
    ("price = 101.50", "price = ", 15, "price", "no TOML"),
    ("price = 101.50", 'price = "101.50"', 15, "price", "without quotes"),
    ("price = 101.50", "price = true", 15, "price", "wanted a number"),
    ("price = 101.50", "price = nan", 15, "price", "wanted a number"),
    ("price = 101.50", "price = 1e999999999999999999999", 15, "price", "a number"),
    ("price = 101.50", "prise = 101.50", 15, "prise", "no key of a trade"),
    ("price = 101.50\n", "", 12, "price", "it lacks"),
    ("size = -0.001\nprice = 101.50", "size = 0\nprice = 101.50", 14, "size", "size 0"),
    ('fqme = "btcusdt.spot.sim"\nsize = -', 'fqme = "btc"\nsize = -', 13, "fqme", "no"),
    ('dt = "2023-11-14T22:13:20.000000001Z"', 'dt = "yesterday"', 18, "dt", "a time"),
    ('"2023-11-14T22:13:20.000000001Z"', "2023-11-14T22:13:20", 18, "dt", "none"),
    ('"2023-11-14T22:13:20.000000001Z"', '"2023-02-30T22:13:20Z"', 18, "dt", "day"),
    ('oid = "o1"', "oid = 1", 17, "oid", "in quotes"),
    ('oid = "o1"', "taker = 1", 17, "taker", "true or false"),
    ('oid = "o1"', 'etype = "split"', None, "ratio", "NEW:OLD"),
    ('oid = "o1"', "[t1.more]\na = 1", 17, "more", "no key of a trade"),
    ('["t1"]', '["t0"]', 12, None, "no TOML"),
    ('["t1"]\n', "", 12, "fqme", "no TOML"),
    ('["t1"]', "[t1", 12, None, "no TOML"),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "words"), HAND_MADE)
def test_what_a_hand_made_wrong_is_named_and_left(old, new, line, key, words):
    raw = fill()
    assert raw.count(old.encode()) == 1
    spoiled = raw.replace(old.encode(), new.encode())
    NAME.ledger.write_bytes(spoiled)
    for reach in (read, lambda: open_ledger("sim", "paper")):
        with pytest.raises(LedgerDamaged) as caught:
            reach()
        told = str(caught.value)
        assert f"{NAME.ledger}, line {line or 12}" in told
        assert f"key {key!r}" in told or key is None
        assert words in told
        assert "\n" not in told
    assert NAME.ledger.read_bytes() == spoiled
    assert not list(NAME.ledger.parent.glob("*.torn-*"))


def test_bytes_that_are_no_text_are_named():
    raw = fill()
    NAME.ledger.write_bytes(raw.replace(b'"o1"', b'"\xff"'))
    with pytest.raises(LedgerDamaged, match="line 17: it is no UTF-8"):
        read()


def test_a_last_trade_that_a_hand_made_wrong_is_not_cut_off():
    raw = fill()
    for old, new in ((b"price = 102.50", b"prise = 102.50"), (b"cost", b"# cost")):
        head, tail = raw[: raw.index(b'["t2"]')], raw[raw.index(b'["t2"]') :]
        spoiled = head + tail.replace(old, new)
        NAME.ledger.write_bytes(spoiled)
        if b"#" in new:
            assert read()[-1] == trade(2, cost=D(0))
            continue
        with pytest.raises(LedgerDamaged):
            open_ledger("sim", "paper")
        assert NAME.ledger.read_bytes() == spoiled


def test_a_human_may_write_it_otherwise():
    fill()
    with NAME.ledger.open("a") as file:
        file.write(
            "# by hand\n"
            "[h1]\ndt = 2024-01-02 03:04:05.5+01:00  # a date\nprice = 1_000\n"
            "size = +2e-3\nfqme = 'btcusdt.spot.sim'\n"
            '["h\\"2"]\nfqme = "btcusdt.spot.sim"\nsize = 1\nprice = 2\n'
            'dt = "2024-01-02 03:04:05Z"'
        )
    *_, first, second = read()
    assert first == Transaction(
        tid="h1", fqme="btcusdt.spot.sim", size=D("0.002"), price=D(1000),
        time_ns=1_704_161_045_500_000_000,
    )  # fmt: skip
    assert second.tid == 'h"2'
    with open_ledger("sim", "paper") as ledger:
        assert ledger.append(trade(9)) == 6
        assert not ledger.torn
    assert read()[3:] == (first, second, trade(9))


def test_an_edit_while_it_is_open_is_noticed_before_the_next_append():
    fill()
    for edit in (
        lambda raw: NAME.ledger.write_bytes(raw + b"# more\n"),
        NAME.ledger.write_bytes,
        replace_file,
        lambda raw: NAME.ledger.unlink(),
    ):
        with open_ledger("sim", "paper") as ledger:
            edit(NAME.ledger.read_bytes())
            with pytest.raises(LedgerChanged, match="open it again"):
                ledger.append(trade(7))
    with open_ledger("sim", "paper") as ledger:
        assert ledger.seq == 0


def replace_file(raw: bytes) -> None:
    fresh = NAME.ledger.with_suffix(".new")
    fresh.write_bytes(raw)
    fresh.rename(NAME.ledger)


# -- one reading, however it comes about -------------------------------------------

WORDS = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"),
    max_size=8,
)
NUMBERS = st.decimals(-(10**9), 10**9, places=8) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=D("-1e30"), max_value=D("1e30")
)


def of_its_kind(txn: Transaction) -> Transaction:
    """Return *txn* with what its kind asks for."""
    told = {"ratio": "2:1" if txn.etype == "split" else ""}
    if txn.etype == "fee":
        told |= {"size": D(0), "price": D(0)}
        told["cost"] = txn.cost or txn.fee or D(1)
    elif not txn.size and txn.etype in {"clear", "transfer"}:
        told["size"] = D(1)
    if txn.inverse and txn.etype not in {"fee", "split"}:
        told["price"] = abs(txn.price) or D(1)
    if txn.fee and not txn.fee_asset:
        told["fee_asset"] = "usdt"
    return replace(txn, **told)


ANY = (
    st.builds(
        Transaction,
        tid=WORDS.filter(bool),
        fqme=st.sampled_from(["btcusdt.spot.sim", "mnq.cme.20261218.sim"]),
        size=NUMBERS,
        price=NUMBERS,
        cost=NUMBERS | st.just(D(0)),
        time_ns=st.integers(0, MAX_NS),
        etype=st.sampled_from(["clear", "transfer", "split", "expiry", "fee"]),
        bs_mktid=WORDS,
        expiry=st.sampled_from(["", "20261218"]),
        multiplier=st.sampled_from([D(1), D(50), D("0.1")]),
        inverse=st.booleans(),
        oid=WORDS,
        reqid=WORDS,
        fee=NUMBERS | st.just(D(0)),
        fee_asset=WORDS,
        taker=st.booleans(),
    )
    .map(of_its_kind)
    .filter(lambda txn: fault_of(txn) is None)
)


def is_market(fqme: str) -> bool:
    return not _content.market_fault("sim", fqme)


def piece(text: str):
    return _by_hand.read_piece(text, lambda fqme: _content.market_fault("sim", fqme))


def any_way(text: str):
    return _by_hand.read_any(text, NAME.ledger, lambda _: "")


@settings(max_examples=200)
@given(st.lists(ANY, max_size=5, unique_by=lambda txn: txn.tid))
def test_what_is_written_is_read_alike_by_both_readers(txns):
    text = "# a comment\n\n" + "".join(map(_lines.table_text, txns))
    slow = any_way(text)
    assert slow == txns
    fast = _lines.read_lines(text, lambda _: True)
    if "\\" not in text and all(txn.time_ns < 7_258_118_400 * 10**9 for txn in txns):
        assert fast is not None
    assert fast in (None, slow)
    assert _lines.torn_from(text.encode()) is None


@settings(max_examples=400)
@given(st.data())
def test_whatever_is_done_to_a_text_both_readers_agree(data):
    """The fast one may say nothing; what it says, tomllib says too."""
    text = "".join(_lines.table_text(trade(i)) for i in range(2))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 3)))
        put = data.draw(st.sampled_from(
            ["", "\n", "#", '"', "'", "0", "-", ".", "1", " ", "\t", "\r", "=", "[",
             "]", "\\", "é", "\x01", "_", "e", "true", '["t9"]\n', "dt", "99", "\x85"]
        ))  # fmt: skip
        text = text[:at] + put + text[end:]
    fast = _lines.read_lines(text, is_market)
    pieces = _lines.read_around(text, is_market, piece)
    assert fast in (None, pieces)
    if pieces is not None:
        assert pieces == any_way(text)
    if fast is None:
        return
    tables = tomllib.loads(text, parse_float=D)
    assert list(tables) == [txn.tid for txn in fast]
    assert fast == any_way(text)
    for txn in fast:
        assert tables[txn.tid]["dt"] == show_ns(txn.time_ns)
        assert fault_of(txn) is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_the_cache_says_what_the_file_says(known, more, edited):
    for path in (NAME.ledger, NAME.cache):
        path.unlink(missing_ok=True)
    text = "".join(_lines.table_text(trade(i)) for i in range(known))
    NAME.ledger.parent.mkdir(parents=True, exist_ok=True)
    NAME.ledger.write_text(text)
    assert read() == tuple(map(trade, range(known)))
    text += "".join(_lines.table_text(trade(i)) for i in range(known, known + more))
    if edited:
        text = text.replace("price = 100.50", "price = 100.51")
    NAME.ledger.write_text(text)
    expected = tuple(any_way(text))
    assert read() == expected  # partly known
    assert read() == expected  # known
    NAME.cache.write_bytes(NAME.cache.read_bytes()[:-1])
    assert read() == expected  # damaged
    NAME.cache.unlink()
    assert read() == expected


TABLE = _lines.table_text(trade(5))
INLINE = "h1 = { " + ", ".join(TABLE.rstrip().split("\n")[1:]) + " }\n"


@pytest.mark.parametrize(
    ("between", "is_read"),
    [
        ("", True),
        ("[h1]\n" + TABLE.partition("\n")[2], True),
        ("[h1]\n" + TABLE.partition("\n")[2].replace("cost", "# cost"), True),
        ("taker = true\n", False),
        ("[t0.more]\n", False),
        ("[[h1]]\n" + TABLE.partition("\n")[2], False),
        ("[h1]\n" + TABLE.partition("\n")[2].replace("o5", "o5\\q"), False),
        ('[h1]\noid = """\n' + TABLE + '"""\n' + TABLE.partition("\n")[2], False),
        ("[h1]\noid = [\n" + TABLE + "]\n", False),
        (TABLE.replace("0.001", "+0.001") + TABLE.replace("0.001", "+0.002"), False),
        (TABLE.replace("t5", "t1").replace("0.001", "+0.001"), False),
        ("x = 1\n", False),
        (INLINE, False),  # a key of the table before it
    ],
)
def test_only_tables_of_another_form_are_read_by_themselves(between, is_read):
    """What could mean something else within the whole is read within the whole."""
    text = _lines.table_text(trade(0)) + between + _lines.table_text(trade(1))
    found = _lines.read_around(text, is_market, piece)
    assert (found is not None) == is_read
    if is_read:
        assert found == any_way(text)


def test_a_trade_appended_twice_by_hand_is_found_beside_a_cache():
    raw = fill()
    read()
    NAME.ledger.write_bytes(raw + raw[raw.index(b'["t2"]') :])
    with pytest.raises(LedgerDamaged, match="twice"):
        read()


def test_a_line_that_goes_on_beside_a_cache_is_one_line():
    raw = fill().rstrip(b"\n")
    NAME.ledger.write_bytes(raw)
    assert len(read()) == 3
    NAME.ledger.write_bytes(raw + _lines.table_text(trade(4)).encode())
    with pytest.raises(LedgerDamaged, match="line 26, key 'dt'"):
        read()


def test_a_last_key_that_a_hand_took_out_is_no_torn_end():
    raw = fill()
    head, tail = raw[: raw.index(b'["t2"]')], raw[raw.index(b'["t2"]') :]
    NAME.ledger.write_bytes(head + tail[: tail.index(b"dt = ")] + b"\n")
    with pytest.raises(LedgerDamaged, match="key 'dt' of trade 't2': it lacks"):
        open_ledger("sim", "paper")


def test_a_key_appended_to_the_last_trade_is_of_that_trade():
    raw = fill()
    NAME.ledger.write_bytes(raw.removesuffix(b"\n") + b"taker = true\n")
    assert read()[-1] == trade(2, taker=True)


def test_an_open_after_appends_reads_only_those(monkeypatch):
    fill(50)
    read()
    with NAME.ledger.open("a") as file:
        file.write(_lines.table_text(trade(60)))
    seen = []
    real = _lines.read_lines

    def spy(text, is_fqme):
        seen.append(text)
        return real(text, is_fqme)

    monkeypatch.setattr(_content, "read_lines", spy)
    monkeypatch.setattr(_content, "read_around", None)
    assert len(read()) == 51
    assert seen == [_lines.table_text(trade(60))]
    assert len(read()) == 51
    assert len(seen) == 1
