"""Indicators of one's own, as docs/chart.md writes one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from piker import config
from piker.config import UiConf
from piker.errors import ConfigError
from piker.ui import load_indicators
from piker.ui._series import Series
from piker.ui._study import Study
from piker.ui.indicators import _api, parse
from tests.ui._bench import mkt_of, walk

DOCS = Path(__file__).parents[2] / "docs" / "chart.md"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    monkeypatch.setattr(_api, "_known", dict(_api._known))
    return config.config_dir()


def test_the_one_of_the_docs_is_shown_and_kept_up(folder):
    code = re.search(r"```python\n(# my_indicators.*?)```", DOCS.read_text(), re.DOTALL)
    (folder / "my_channel.py").write_text(code[1])
    conf = UiConf(indicators=("channel:5",), indicator_modules=("my_channel",))
    load_indicators(conf)
    bars = walk(200, 60)
    series = Series(mkt_of(), 60)
    series.splice(bars[:150])
    study = Study(parse("channel:5"))
    study.update(series)
    for end in range(151, 200):
        study.update(series, series.splice(bars[end - 1 : end]))
    for row in range(4, 199):
        window = bars[row - 4 : row + 1]
        assert study.lines["high"][row] == window["high"].max()
        assert study.lines["low"][row] == window["low"].min()
    assert np.isnan(study.lines["high"][:4]).all()


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ({"indicators": ("nothing:3",)}, "there is no indicator 'nothing'"),
        ({"indicators": ("ema:x",)}, "n of ema:n is a number"),
        ({"indicator_modules": ("not_there_at_all",)}, "can't be imported"),
    ],
)
def test_what_is_wrong_in_the_config_is_named(folder, conf, says):
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        load_indicators(UiConf(**conf))
    assert str(caught.value).startswith("conf.toml: ui.indicator")
    assert "\n" not in str(caught.value)
