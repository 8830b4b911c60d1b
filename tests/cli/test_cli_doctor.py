"""``piker doctor``, ``piker init`` and ``piker brokers``: what they find and say."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from piker.cli import _checks
from piker.cli._app import app
from piker.data.validate import _eps
from piker.service import _tree
from piker.testing import free_port, private_dirs
from tests.cli import _cli

NAMES = [
    "python", "engine", "config", "secrets", "state", "cache", "orders", "shm",
    "stale shm", "runtime", "pikerd", "clock", "qt",
]  # fmt: skip


@pytest.fixture(autouse=True)
def dirs(tmp_path, monkeypatch):
    monkeypatch.setenv("PIKER_REGISTRY", f"127.0.0.1:{free_port()}")
    with private_dirs(tmp_path / "dirs") as dirs:
        yield dirs


def piker(*args):
    return CliRunner().invoke(app, list(args), prog_name="piker")


def doctor(*args):
    """Return the exit code and the checks by name."""
    result = piker("doctor", "--json", *args)
    checks = json.loads(result.stdout)
    assert [check["name"] for check in checks] == NAMES
    assert all(list(c) == ["name", "ok", "detail", "advice"] for c in checks)
    assert all(isinstance(c["ok"], bool) and c["detail"] for c in checks)
    return result.exit_code, {check["name"]: check for check in checks}


@pytest.fixture
def stale_shm(tmp_path, monkeypatch):
    """A shared-memory folder that nobody holds, where no other test's pikerd looks."""
    monkeypatch.setattr(_tree, "SHM_ROOT", tmp_path)
    folder = tmp_path / f"piker.{os.getuid()}.{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


def test_a_fresh_machine_is_fine():
    code, checks = doctor()
    assert code == 0
    assert all(check["ok"] for check in checks.values())
    assert "none runs at" in checks["pikerd"]["detail"]


def test_the_table_shows_every_check_with_its_advice(stale_shm):
    result = piker("doctor")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in NAMES)
    assert "piker doctor --fix" in result.stdout


def test_a_bad_conf_is_hard(dirs):
    (Path(dirs.config) / "conf.toml").write_text("[data]\nrt_bars = 'many'\n")
    code, checks = doctor()
    assert code == 1
    assert "rt_bars" in checks["config"]["detail"]
    assert not checks["config"]["ok"]
    assert checks["config"]["advice"]


def test_readable_secrets_are_hard(dirs):
    path = Path(dirs.config) / "brokers.toml"
    path.write_text("")
    path.chmod(0o644)
    code, checks = doctor()
    assert (code, checks["secrets"]["ok"]) == (1, False)
    path.chmod(0o600)
    code, checks = doctor()
    assert (code, checks["secrets"]["ok"]) == (0, True)


def test_stale_shm_is_told_and_fixed(stale_shm):
    code, checks = doctor()
    assert code == 0
    assert str(stale_shm) in checks["stale shm"]["detail"]
    assert checks["stale shm"]["advice"]
    code, checks = doctor("--fix")
    assert code == 0
    assert not stale_shm.exists()
    assert checks["stale shm"]["advice"] == ""


def test_stale_runtime_files_are_told_and_fixed(dirs):
    cookie = Path(dirs.runtime) / "127.0.0.1-7.cookie"
    cookie.write_text("x")
    _, checks = doctor()
    assert "127.0.0.1-7.cookie" in checks["runtime"]["detail"]
    doctor("--fix")
    assert not cookie.exists()


def test_runtime_files_of_a_live_pikerd_stay(dirs):
    cookie = Path(dirs.runtime) / "127.0.0.1-7.cookie"
    cookie.write_text("x")
    with cookie.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, checks = doctor("--fix")
        assert cookie.exists()
        assert "nothing stale" in checks["runtime"]["detail"]


def test_a_stranger_at_the_address_is_hard(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.listen()
        port = stranger.getsockname()[1]
        monkeypatch.setenv("PIKER_REGISTRY", f"127.0.0.1:{port}")
        code, checks = doctor()
    assert (code, checks["pikerd"]["ok"]) == (1, False)
    assert f"127.0.0.1:{port}" in checks["pikerd"]["detail"]


@pytest.mark.tree
async def test_a_running_pikerd_is_found(open_test_pikerd):
    async with open_test_pikerd() as tree:
        said = await _cli.run("doctor", "--json", env=tree.env)
        checks = {check["name"]: check for check in said.json}
        assert checks["pikerd"]["detail"] == f"runs at {tree.registry}, pid {tree.pid}"
        assert checks["runtime"]["advice"] == ""
        assert str(tree.shm) not in checks["stale shm"]["detail"]


@pytest.mark.parametrize(
    ("free_mb", "ok", "advised"),
    [(10, False, True), (200, True, True), (2e4, True, False)],
)
def test_little_room_is_a_warning_and_none_is_hard(monkeypatch, free_mb, ok, advised):
    usage = type("usage", (), {"free": free_mb * 1e6})
    monkeypatch.setattr(_checks.shutil, "disk_usage", lambda _: usage)
    for check in (*_checks.check_folders(), _checks.check_shm()):
        assert (check.ok, bool(check.advice)) == (ok, advised), check


@pytest.mark.parametrize(
    ("status", "offset", "detail", "advised"),
    [
        (0x0040, 0, "knows of nothing", True),
        (0x0001, 2_500, "off by +2.500 ms", False),
        (0x2001, 2_500_000, "off by +2.500 ms", False),
        (0x0001, -1_500_000, "off by -1500.000 ms", True),
    ],
)
def test_what_the_kernel_says_of_the_clock(status, offset, detail, advised):
    check = _checks.judge_clock(status, offset, 1000)
    assert check.ok
    assert detail in check.detail
    assert bool(check.advice) == advised


def test_lacking_libraries_are_named_with_their_packages(monkeypatch):
    lacking = {"libEGL.so.1", "libxcb-shape.so.0"}
    monkeypatch.setattr(_checks, "_loads", lambda name: name not in lacking)
    check = _checks.check_qt()
    assert check.ok
    assert check.detail == "libEGL.so.1, libxcb-shape.so.0 not found"
    assert check.advice.endswith(
        "install --no-install-recommends libegl1 libxcb-shape0"
    )


# -- init ---------------------------------------------------------------------


def test_init_writes_once_and_force_keeps_the_old(dirs):
    conf = Path(dirs.config) / "conf.toml"
    first = piker("init")
    assert first.exit_code == 0
    assert f"wrote {conf}" in first.stdout
    assert (Path(dirs.config) / "brokers.toml").stat().st_mode & 0o777 == 0o600
    conf.write_text("[log]\nlevel = 'debug'\n")
    assert f"kept  {conf}" in piker("init").stdout
    assert "debug" in conf.read_text()
    forced = json.loads(piker("init", "--force", "--json").stdout)
    assert str(conf) in forced["written"]
    assert "debug" in (Path(dirs.config) / "conf.toml.bak").read_text()


def test_init_goes_to_the_config_dir_given(tmp_path):
    told = json.loads(piker("-c", str(tmp_path / "c"), "init", "--json").stdout)
    assert told["folder"] == str(tmp_path / "c")
    assert (tmp_path / "c" / "conf.toml").exists()


# -- brokers ------------------------------------------------------------------


def test_brokers_tells_each_endpoint_as_offered_or_missing():
    found = json.loads(piker("brokers", "--json").stdout)
    assert "sim" in [broker["name"] for broker in found]
    for broker in found:
        assert list(broker) == ["name", "description", "endpoints"]
        assert list(broker["endpoints"]) == list(_eps)
        for kind, eps in broker["endpoints"].items():
            assert sorted(eps["offered"] + eps["missing"]) == sorted(_eps[kind])


@pytest.mark.parametrize("columns", [None, "120", "80", "50"])
def test_brokers_table(monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    result = piker("brokers")
    assert result.exit_code == 0
    for word in ("binance", "middleware", "✓ stream_quotes", "- norm_trade"):
        assert word in result.stdout
    assert "…" not in result.stdout
