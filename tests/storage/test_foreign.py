"""Files of others: read as what they say, refused where they can't be bars."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest

from piker.errors import UsageError
from piker.storage import read_foreign, write_foreign
from piker.tsp import OHLCV, find_gaps
from tests._data import data_dir
from tests.storage.test_store_model import make

T = 1_700_000_040  # a whole minute
HEAD = "time,open,high,low,close,volume,count\n"
ROWS = [f"{T + 60 * i},1,3,0.5,2,10,4\n" for i in range(3)]


def write(path, text):
    path.write_text(text)
    return path


def test_plain_csv(tmp_path):
    got = read_foreign(write(tmp_path / "x.csv", HEAD + "".join(ROWS)), 60)
    assert got.bars.tolist() == [(T + 60 * i, 1, 3, 0.5, 2, 10, 4) for i in range(3)]
    assert got.notes == ["time is column 'time', s since the epoch"]


@pytest.mark.parametrize(
    ("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
def test_the_unit_of_a_time_is_told_by_its_size(tmp_path, unit, factor):
    text = HEAD + "".join(f"{(T + 60 * i) * factor},1,1,1,1,1,1\n" for i in range(3))
    got = read_foreign(write(tmp_path / "x", text), 60)
    assert got.bars["time"].tolist() == [T, T + 60, T + 120]
    assert f"{unit} since the epoch" in got.notes[0]


@pytest.mark.parametrize(
    ("stamp", "zone", "told"),
    [
        ("2023-11-14 22:14:00", "UTC", "in UTC"),
        ("2023-11-14T22:14:00Z", "America/Chicago", "in UTC"),
        ("2023-11-14T16:14:00-06:00", "UTC", "in UTC"),
        ("2023-11-14 22:14:00.000000", "UTC", "in UTC"),
        ("2023-11-14 16:14:00", "America/Chicago", "in America/Chicago"),
    ],
)
def test_times_in_words(tmp_path, stamp, zone, told):
    path = write(tmp_path / "x", f"Date,Open,High,Low,Close,Vol\n{stamp},1,1,1,1,1\n")
    got = read_foreign(path, 60, zone)
    assert got.bars["time"].tolist() == [T]
    assert told in got.notes[0]
    assert "open is column 'Open'" in got.notes
    assert any("1 where there is volume" in note for note in got.notes)


def test_gzip_order_and_rows_that_stand_twice(tmp_path):
    text = HEAD + ROWS[2] + ROWS[0] + ROWS[0] + ROWS[1]
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    got = read_foreign(path, 60)
    assert got.bars["time"].tolist() == [T, T + 60, T + 120]
    assert got.notes[1:] == [
        "rows were not in order of time: sorted",
        "1 rows stood there twice: taken once",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ("it is empty",)),
        (HEAD, ("no row",)),
        ("time,open,high,low,close\n1,1,1,1,1\n", ("none is for volume", "'close'")),
        (HEAD + f"{T},1,1,1,,1,1\n", ("row 0 has nothing in 'close'",)),
        (HEAD + f"{T},1,1,1,NaN,1,1\n", ("close of the bar at", "no number")),
        (HEAD + f"{T},1,1,1,1,-1,1\n", ("volume of the bar", "negative")),
        (HEAD + f"{T},1,1,2,1,1,1\n", ("beyond its high or low",)),
        (HEAD + f"{T},1,x,1,1,1,1\n", ("'high' holds no numbers",)),
        (HEAD + f"{T}.5,1,1,1,1,1,1\n", ("row 0", "no whole second")),
        (HEAD + "soon,1,1,1,1,1,1\n", ("year first", "soon")),
        (HEAD + "01/02/2024,1,1,1,1,1,1\n", ("year first", "01/02/2024")),
        (HEAD + "2024-13-01 00:00:00,1,1,1,1,1,1\n", ("can't be read", "2024-13")),
        (
            HEAD
            + "2024-01-01 00:00:00,1,1,1,1,1,1\n2024-01-01T00:01:00Z,1,1,1,1,1,1\n",
            ("some times", "offset"),
        ),
        (HEAD + "1e19,1,1,1,1,1,1\n", ("no times in s, ms", "1e+19")),
        (HEAD + f"{T},1,1,1,1,1,2.5\n", ("row 0 has no whole number in 'count'",)),
        (HEAD + ROWS[0] + f"{T},1,3,0.5,2,10,5\n", ("1 times have two bars",)),
        (HEAD + f"{T + 30},1,1,1,1,1,1\n{T + 330},1,1,1,1,1,1\n", ("--period 300",)),
        (HEAD + f"{T + 30},1,1,1,1,1,1\n{T + 90},1,1,1,1,1,1\n", ("--zone",)),
    ],
)
def test_what_can_not_be_bars(tmp_path, text, words):
    path = write(tmp_path / "x.csv", text)
    with pytest.raises(UsageError) as told:
        read_foreign(path, 60)
    said = str(told.value)
    assert said.startswith(f"can't import {path}: ")
    assert "\n" not in said
    assert all(word in said for word in words), said


def test_times_in_words_of_a_typed_file_are_in_the_zone_told(tmp_path):
    row = {"date": ["2023-11-14 16:14:00"], **{key: [1.0] for key in "ohlcv"}}
    pl.DataFrame(row).write_parquet(tmp_path / "x")
    got = read_foreign(tmp_path / "x", 60, "America/Chicago")
    assert got.bars["time"].tolist() == [T]
    assert "in America/Chicago" in got.notes[0]


def test_dates_and_what_came_before_the_epoch(tmp_path):
    text = "Date,o,h,l,c,v\n1962-01-02,1,1,1,1,1\n2012-01-31,1,1,1,1,1\n"
    got = read_foreign(write(tmp_path / "x", text), 86_400)
    assert got.bars["time"].tolist() == [-252_374_400, 1_327_968_000]
    write_foreign(tmp_path / "y.csv", got.bars)
    again = read_foreign(tmp_path / "y.csv", 86_400)
    assert again.bars.tobytes() == got.bars.tobytes()


def test_a_name_is_no_pattern(tmp_path):
    write(tmp_path / "x1.csv", HEAD + ROWS[0])
    write(tmp_path / "x[1].csv", HEAD + ROWS[1])
    got = read_foreign(tmp_path / "x[1].csv", 60)
    assert got.bars["time"].tolist() == [T + 60]


def test_another_period_than_the_usual_step_is_said(tmp_path):
    text = HEAD + "".join(f"{T + 300 * i},1,1,1,1,1,1\n" for i in range(5))
    got = read_foreign(write(tmp_path / "x", text), 60)
    assert got.notes[-1] == "most bars are 300 s apart, the period told is 60 s"


def test_a_damaged_gzip_file_is_a_sentence(tmp_path):
    raw = bytearray(gzip.compress((HEAD + "".join(ROWS) * 500).encode()))
    raw[len(raw) // 2] ^= 255
    (tmp_path / "x.csv.gz").write_bytes(raw)
    with pytest.raises(UsageError, match="can't be read"):
        read_foreign(tmp_path / "x.csv.gz", 60)


def test_zones_that_are_none_and_files_that_are_none(tmp_path):
    path = write(tmp_path / "x", "date,o,h,l,c,v\n2023-11-14 22:14:00,1,1,1,1,1\n")
    with pytest.raises(UsageError, match="zone 'Nowhere'"):
        read_foreign(path, 60, "Nowhere")
    with pytest.raises(UsageError, match="No such file"):
        read_foreign(tmp_path / "absent", 60)
    with pytest.raises(UsageError, match="directory"):
        read_foreign(tmp_path, 60)


@pytest.mark.parametrize(
    ("field", "values", "dtype"),
    [
        ("time", [str(T), str(T + 60)], pl.Decimal(18, 0)),
        ("time", [T, T + 60], pl.Int128),
        ("time", [T, T + 60], pl.UInt64),
        ("volume", ["10.5", "1.25"], pl.Decimal(18, 8)),
        ("count", ["5", "6"], pl.Decimal(18, 0)),
        ("count", [5, 6], pl.Int128),
    ],
)
def test_numbers_of_any_kind(tmp_path, field, values, dtype):
    series = pl.Series(values).cast(dtype)
    got = read_foreign(typed(tmp_path, **{field: series}), 60).bars[field]
    assert got.tolist() == [float(value) for value in values]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("field", "values", "words"),
    [
        ("count", [5.0, 1e30], "row 1 has 1e[+]30 in 'count'"),
        ("count", [5, (1 << 64) - 1], "row 1 has 1.84467e[+]19 in 'count'"),
        ("time", [T, (1 << 64) - 60], "no times in s, ms, us or ns"),
        ("time", ["2500-01-01 00:00", "2500-01-01 00:01"], "beyond the years 1678"),
        ("time", [float(T), float("inf")], "no times in s, ms, us or ns"),
        (
            "open",
            [[1.0], [2.0]],
            r"no numbers but List\(Float64\), e.g. shape: [^\n]*$",
        ),
    ],
)
def test_numbers_that_no_bar_has_are_a_sentence(tmp_path, field, values, words):
    path = typed(tmp_path, **{field: pl.Series(values)})
    with pytest.raises(UsageError, match=words):
        read_foreign(path, 60)


def test_dates_of_centuries_to_come(tmp_path):
    when = pl.Series(["2500-01-01 00:00", "2500-01-01 00:01"])
    when = when.str.to_datetime(time_unit="us")
    got = read_foreign(typed(tmp_path, time=when), 60)
    assert got.bars["time"].tolist() == [16_725_225_600, 16_725_225_660]


def typed(folder, **columns):
    """Write a parquet file of two bars, some columns given."""
    usual = {"time": [T, T + 60], "count": [1, 1]}
    usual |= {name: [1.0, 1.0] for name in ("open", "high", "low", "close", "volume")}
    path = folder / "typed.parquet"
    pl.DataFrame(usual | columns).write_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_a_file_that_was_cut_is_a_sentence(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    write_foreign(path, make(60 * np.arange(5000) + T))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match="can't be read"):
        read_foreign(path, 60)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".feather", ".arrow"])
def test_what_is_written_comes_back_bit_by_bit(tmp_path, ending):
    rng = np.random.default_rng(5)
    bars = make(T + 60 * np.arange(2000))
    prices = rng.lognormal(0, 9, 2000)
    for name in ("open", "high", "low", "close"):
        bars[name] = prices
    bars["volume"], bars["count"] = rng.lognormal(0, 30, 2000), rng.integers(0, 9, 2000)
    write_foreign(tmp_path / f"x{ending}", bars)
    assert read_foreign(tmp_path / f"x{ending}", 60).bars.tobytes() == bars.tobytes()


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.csv, \.parquet"):
        write_foreign(tmp_path / "x.xls", np.zeros(1, OHLCV))


# -- recorded history ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column", "rows", "gaps", "missing"),
    [
        ("freqtrade_btc/UNITTEST_BTC-1m.feather", "date", 13_681, 538, 717),
        ("btcperp_1m/btc-perp-20211231-20220201_1m.csv.gz", "timestamp", 45_031, 0, 0),
        (
            "cme_6e_1m/6EH4.XCME_1min_bars_20240101_20240131.csv.gz",
            "timestamp_utc",
            29_996,
            375,
            None,
        ),
    ],
)
def test_recorded_history(name, column, rows, gaps, missing):
    path = data_dir() / "history_and_streams" / name
    got = read_foreign(path, 60)
    assert len(got.bars) == rows
    found = find_gaps(got.bars, 60)
    assert len(found) == gaps
    if missing is not None:
        assert sum((end - start) // 60 for start, end in found) == missing
    # the same by another way: straight from the file
    frame = (
        pl.read_ipc(path)
        if name.endswith(".feather")
        else pl.read_csv(path, try_parse_dates=True)
    )
    seconds = frame[column].dt.epoch("s").to_list()
    assert got.bars["time"].tolist() == seconds
    for field in ("open", "high", "low", "close", "volume"):
        assert got.bars[field].tolist() == frame[field].cast(pl.Float64).to_list()
