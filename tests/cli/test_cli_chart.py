"""What `piker chart` says where windows can't be had."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from piker.cli import _checks
from piker.cli._app import app
from piker.errors import PikerError

BTC = "btcusdt.spot.sim"


@pytest.fixture(autouse=True)
def offscreen(monkeypatch, tmp_path):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    for kind in ("CONFIG", "STATE", "CACHE", "RUNTIME"):
        monkeypatch.setenv(f"PIKER_{kind}_DIR", str(tmp_path / kind))


def refusal(*args: str) -> str:
    done = CliRunner().invoke(app, ["chart", *args])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit | PikerError), done.exception
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("platform", "lacks", "packages"),
    [
        ("offscreen", ["libGL.so.1", "libEGL.so.1"], "libgl1 libegl1"),
        ("xcb", ["libEGL.so.1", "libxcb-icccm.so.4"], "libegl1 libxcb-icccm4"),
    ],
)
def test_libraries_that_lack_are_named_with_their_packages(
    monkeypatch, platform, lacks, packages
):
    monkeypatch.setenv("QT_QPA_PLATFORM", platform)
    monkeypatch.setattr(_checks, "_loads", lambda name: name not in lacks)
    said = refusal(BTC)
    assert ", ".join(lacks) in said
    assert f"`apt-get install {packages}`" in said
    assert "--tui" in said


def test_what_only_screens_need_is_not_asked_for_a_picture(monkeypatch):
    """An X11 library lacks: a picture can be written all the same."""
    monkeypatch.setattr(_checks, "_loads", lambda name: "xcb" not in name)
    assert _checks.lacking_qt_libraries(has_x11=False) == []
    assert "libxcb-cursor.so.0" in _checks.lacking_qt_libraries()


def test_without_pyside_the_terminal_is_offered(monkeypatch):
    monkeypatch.setattr(_checks, "_loads", lambda _: True)
    for name in [name for name in sys.modules if name.startswith("piker.ui._qt")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PySide6", None)
    monkeypatch.setitem(sys.modules, "PySide6.QtCore", None)
    said = refusal(BTC)
    assert "PySide6" in said
    assert "--tui" in said
