"""CSV files of others: what is made of a column is said, what can't be is refused."""

from __future__ import annotations

import gzip
from decimal import Decimal as D  # noqa: N817

import pytest

from piker.accounting import AccountName, Transaction, read_trades
from piker.errors import UsageError

NAME = AccountName(broker="kraken", label="main")
XBT = "xbteur.spot.kraken"


def read(tmp_path, text: str, fqme: str = ""):
    path = tmp_path / "x.csv"
    path.write_text(text)
    return read_trades(path, NAME, fqme)


def test_a_venue_s_own_export_is_read(tmp_path):
    found = read(
        tmp_path,
        '"txid","ordertxid","pair","time","type","price","cost","fee","vol","ledgers"\n'
        '"TA","OA","XBTEUR","2024-01-02 03:04:05.1234","buy","40000.1","40","0.1",'
        '"0.001","L"\n'
        '"TB","OB","XBTEUR","2024-01-02 03:04:06","sell","40001","40","0.1","0.001"\n',
        XBT,
    )
    first, second = found.txns
    assert first == Transaction(
        tid="TA", fqme=XBT, size=D("0.001"), price=D("40000.1"), cost=D("0.1"),
        oid="OA", time_ns=1_704_164_645_123_400_000,
    )  # fmt: skip
    assert second.size == D("-0.001")
    for words in ("side is column 'type'", "cost is column 'fee'", "'ledgers'", "UTC"):
        assert any(words in note for note in found.notes), found.notes


def test_our_own_names_are_read(tmp_path):
    found = read(
        tmp_path,
        "tid;fqme;size;price;cost;dt;etype;multiplier;ratio;expiry;taker;bs_mktid\n"
        f"a;{XBT};-1.50;2;0;2024-01-02T03:04:05Z;;;;;;\n"
        f"b;{XBT};0;0;0;1704164645;split;50;2:1;;;\n"
        f"c;{XBT};1;1;-1;1704164645123;transfer;;;20240101;true;X\n",
    )
    assert [txn.etype for txn in found.txns] == ["clear", "split", "transfer"]
    assert [txn.multiplier for txn in found.txns] == [1, 50, 1]
    assert found.txns[2].time_ns == 1_704_164_645_123_000_000
    assert (found.txns[2].taker, found.txns[2].bs_mktid) == (True, "X")


def test_ids_are_made_alike_each_time(tmp_path):
    row = "1,2,2024-01-02T03:04:05Z\n"
    first, second = read(tmp_path, "size,price,time\n" + row * 2, XBT).txns
    again = read(tmp_path, "size,price,time\n" + row, XBT).txns
    assert first.tid == again[0].tid != second.tid
    assert first.tid.startswith("csv-")


def test_order_is_that_of_time(tmp_path):
    rows = [f"t{i},1,2,{1_700_000_000 + i // 2}\n" for i in range(4)]
    head = "tid,size,price,time\n"
    turned = read(tmp_path, head + "".join(rows[::-1]), XBT)
    assert [txn.tid for txn in turned.txns] == ["t0", "t1", "t2", "t3"]
    assert "rows were newest first: turned round" in turned.notes
    mixed = read(tmp_path, head + rows[2] + rows[0] + rows[3] + rows[1], XBT)
    assert [txn.tid for txn in mixed.txns] == ["t0", "t1", "t2", "t3"]
    assert "rows were not in order of time: sorted" in mixed.notes


def test_it_may_be_zipped_and_have_thousands(tmp_path):
    path = tmp_path / "x.csv.gz"
    text = 'size,price,time\n"1,000","2,000,000.5",2024-01-02T03:04:05Z\n\n'
    path.write_bytes(gzip.compress(text.encode()))
    (txn,) = read_trades(path, NAME, XBT).txns
    assert (txn.size, txn.price) == (1000, D("2000000.5"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "none is for size, price, dt"),
        ("size,price\n1,2\n", "none is for dt among 'size', 'price'"),
        ("size,price,time\n,2,1700000000\n", "row 2 has nothing for size"),
        ("size,price,time\n1,x,1700000000\n", "row 2, price: wanted a number"),
        ("size,price,time\n1,2,yesterday\n", "row 2, dt: wanted a time"),
        ("size,price,time\n1,2,1e30\n", "row 2, dt: wanted a time"),
        ("size,price,time\n1,2,nan\n", "row 2, dt: wanted a time"),
        ("size,price,time\n0,2,1700000000\n", "row 2, size: a clear of size 0"),
        ("size,price,time\n1,nan,1700000000\n", "row 2, price: wanted a number"),
        ("size,price,time,side\n1,2,1700000000,up\n", "row 2, side: wanted buy or"),
        ('size,price,time\n1,2,"17\n', "wanted CSV"),
    ],
)
def test_what_is_wrong_is_refused_by_row_and_column(tmp_path, text, words):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text, XBT)
    assert words in str(caught.value)
    assert "x.csv" in str(caught.value)


def test_another_broker_s_market_is_refused(tmp_path):
    text = "size,price,time,fqme\n1,2,1700000000,btcusdt.spot.sim\n"
    with pytest.raises(UsageError, match="not a market of kraken"):
        read(tmp_path, text)
    with pytest.raises(UsageError, match="or say --fqme"):
        read(tmp_path, "size,price,time\n")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\x1f\x8b\x00", None])
def test_what_is_no_text_is_refused(tmp_path, raw):
    path = tmp_path / "x.csv"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(UsageError, match="can't import"):
        read_trades(path, NAME, XBT)
