"""Folders: who says where they are, and which runtime folder is safe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from piker import config
from piker.config import Dirs, _dirs
from piker.errors import ConfigError

KINDS = ("config", "state", "cache", "runtime")


def _look_up(kind):
    return getattr(config, f"{kind}_dir")()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    """No folder of the machine that runs the tests takes part."""
    for name in [*os.environ]:
        if name.startswith(("PIKER_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with config.use_dirs(None):
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_precedence(kind, monkeypatch, tmp_path):
    xdg = {"config": "XDG_CONFIG_HOME", "state": "XDG_STATE_HOME",
           "cache": "XDG_CACHE_HOME", "runtime": "XDG_RUNTIME_DIR"}[kind]  # fmt: skip
    base = tmp_path / "xdg"
    base.mkdir()
    monkeypatch.setenv(xdg, str(base))
    assert _look_up(kind) == base / "piker"
    monkeypatch.setenv(f"PIKER_{kind.upper()}_DIR", str(tmp_path / "env"))
    assert _look_up(kind) == tmp_path / "env"
    with config.use_dirs(Dirs.under(tmp_path / "tree")):
        assert _look_up(kind) == tmp_path / "tree" / kind
        with config.use_dirs(Dirs(**{kind: str(tmp_path / "inner")})):
            assert _look_up(kind) == tmp_path / "inner"
        assert _look_up(kind) == tmp_path / "tree" / kind
    assert _look_up(kind) == tmp_path / "env"
    monkeypatch.setenv(f"PIKER_{kind.upper()}_DIR", "")
    assert _look_up(kind) == base / "piker"


def test_platform_defaults(tmp_path):
    home = tmp_path / "home"
    assert config.config_dir() == home / ".config/piker"
    assert config.state_dir() == home / ".local/state/piker"
    assert config.cache_dir() == home / ".cache/piker"
    assert not home.exists()


def test_a_folder_left_empty_is_looked_up_further(monkeypatch, tmp_path):
    monkeypatch.setenv("PIKER_STATE_DIR", str(tmp_path / "state"))
    with config.use_dirs(Dirs(config=str(tmp_path / "chosen"))):
        assert config.config_dir() == tmp_path / "chosen"
        assert config.state_dir() == tmp_path / "state"


def test_set_for_the_process_until_taken_back(tmp_path):
    config.use_dirs(Dirs.under(tmp_path))
    assert config.state_dir() == tmp_path / "state"
    config.use_dirs(None)
    assert config.state_dir() != tmp_path / "state"


def test_left_by_an_error_too(tmp_path):
    before = config.config_dir()
    with pytest.raises(KeyError), config.use_dirs(Dirs.under(tmp_path)):
        raise KeyError
    assert config.config_dir() == before


def test_relative_and_home_paths_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIKER_STATE_DIR", "here")
    monkeypatch.setenv("PIKER_CACHE_DIR", "~/there")
    monkeypatch.setenv("PIKER_CONFIG_DIR", "~nobody-of-that-name/x")
    assert config.state_dir() == tmp_path / "here"
    assert config.cache_dir() == tmp_path / "home/there"
    assert config.config_dir() == tmp_path / "~nobody-of-that-name/x"


def test_all_four_cross_to_a_child(monkeypatch, tmp_path):
    for kind in KINDS:
        monkeypatch.setenv(f"PIKER_{kind.upper()}_DIR", str(tmp_path / kind))
    dirs = config.current_dirs()
    assert dirs == Dirs.under(tmp_path)
    wire = msgspec.msgpack.encode(dirs)
    assert msgspec.msgpack.decode(wire, type=Dirs) == dirs


# -- the runtime folder ---------------------------------------------------------


def test_runtime_is_made_private(tmp_path):
    with config.use_dirs(Dirs.under(tmp_path / "deep" / "tree")):
        made = config.runtime_dir()
        assert made.stat().st_mode & 0o777 == 0o700
        assert config.runtime_dir() == made  # and again


def test_runtime_may_not_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "runtime").symlink_to(tmp_path / "real")
    with (
        config.use_dirs(Dirs.under(tmp_path)),
        pytest.raises(ConfigError, match="runtime must be a real folder, not a link"),
    ):
        config.runtime_dir()


def test_runtime_may_not_be_a_file(tmp_path):
    (tmp_path / "runtime").touch()
    with (
        config.use_dirs(Dirs.under(tmp_path)),
        pytest.raises(ConfigError, match="runtime must be a real folder"),
    ):
        config.runtime_dir()


def test_runtime_may_not_be_writable_by_others(tmp_path):
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime").chmod(0o770)
    with (
        config.use_dirs(Dirs.under(tmp_path)),
        pytest.raises(ConfigError, match=r"others may write in .*: chmod 700 "),
    ):
        config.runtime_dir()
    (tmp_path / "runtime").chmod(0o755)
    with config.use_dirs(Dirs.under(tmp_path)):
        assert config.runtime_dir() == tmp_path / "runtime"


def test_runtime_may_not_be_another_users(tmp_path, monkeypatch):
    (tmp_path / "runtime").mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(_dirs.os, "geteuid", lambda: owner + 1)
    with (
        config.use_dirs(Dirs.under(tmp_path)),
        pytest.raises(ConfigError, match=rf"belongs to user {owner}: name another"),
    ):
        config.runtime_dir()


def test_runtime_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    with (
        config.use_dirs(Dirs(runtime=str(tmp_path / "file" / "runtime"))),
        pytest.raises(ConfigError, match=r"can't make the folder .*: File exists"),
    ):
        config.runtime_dir()


def test_runtime_without_a_usable_login_folder(monkeypatch, tmp_path):
    fallback = Path(f"/tmp/piker-{os.geteuid()}")
    assert _dirs._platform_runtime() == fallback
    for unusable in ("relative", str(tmp_path / "absent")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        assert _dirs._platform_runtime() == fallback
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    owner = os.geteuid()
    monkeypatch.setattr(_dirs.os, "geteuid", lambda: owner + 1)  # as after su
    assert _dirs._platform_runtime() == Path(f"/tmp/piker-{owner + 1}")


# -- invariant 14 -----------------------------------------------------------------

_SPY = """
import json, os, sys
opened, asked = [], []
sys.addaudithook(
    lambda event, args: opened.append(str(args[0])) if event == "open" else None
)
class Spy(dict):
    def __getitem__(self, key):
        asked.append(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        asked.append(key)
        return super().get(key, default)
    def __contains__(self, key):
        asked.append(key)
        return super().__contains__(key)
os.environ = Spy(os.environ)
import piker.accounting, piker.cli._init, piker.config, piker.log, piker.msgs
def ours():
    named = [path for path in opened if path.endswith(".toml")]
    return named, [key for key in asked if key.startswith(("PIKER_", "XDG_"))]
at_import = ours()
piker.config.load_config()
piker.config.registry_addr()
print(json.dumps(at_import))
print(json.dumps(ours()))
"""


def test_invariant_14_importing_reads_nothing(tmp_path):
    env = {f"PIKER_{kind.upper()}_DIR": str(tmp_path / kind) for kind in KINDS}
    (tmp_path / "config").mkdir()
    conf = tmp_path / "config" / "conf.toml"
    conf.write_text("[log]\n")
    root = Path(config.__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-c", _SPY],
        env=env, cwd=root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    at_import, later = map(json.loads, out.splitlines())
    assert at_import == [[], []]
    # The same spies see the reading once it is asked for.
    assert str(conf) in later[0]
    assert {"PIKER_CONFIG_DIR", "PIKER_REGISTRY"} <= set(later[1])


def test_importing_needs_no_environment():
    root = Path(config.__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", "import piker.config, piker.log, piker.accounting"],
        env={}, cwd=root, check=True,
    )  # fmt: skip
