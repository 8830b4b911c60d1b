"""``conf.toml``, the registry's address, ``brokers.toml`` from outside, templates."""

import os
import re
import sys
import tomllib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from piker import config
from piker.brokers.binance._api import BinanceConf
from piker.brokers.deribit._api import DeribitConf
from piker.brokers.ib._conf import IbConf
from piker.brokers.kraken._api import KrakenConf
from piker.cli._init import init_config, result_lines
from piker.config import (
    Config,
    DataConf,
    Dirs,
    FeeConf,
    LogConf,
    PaperConf,
    PikerdConf,
    SessionFile,
    SimConf,
    UiConf,
    _secrets,
)
from piker.config._templates import CONF_TEMPLATE, SECRETS_TEMPLATE
from piker.errors import ConfigError, UsageError


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """The config folder of a tree of its own."""
    monkeypatch.delenv("PIKER_REGISTRY", raising=False)
    with config.use_dirs(Dirs.under(tmp_path)):
        (tmp_path / "config").mkdir()
        yield tmp_path / "config"


@pytest.fixture
def load(folder):
    """Write a text to conf.toml and load it."""

    def load(text):
        (folder / "conf.toml").write_text(text)
        return config.load_config()

    return load


@pytest.fixture
def refusal(load, folder):
    """Write a text to conf.toml and return what loading it says of the file."""

    def refusal(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        (sentence,) = caught.value.args
        assert sentence.startswith(f"{folder}/conf.toml: ")
        assert len(sentence.splitlines()) == 1
        return sentence.removeprefix(f"{folder}/")

    return refusal


# -- conf.toml ----------------------------------------------------------------------


def test_no_file_is_all_defaults():
    assert config.load_config() == Config()
    assert Config() == Config(
        pikerd=PikerdConf(registry="127.0.0.1:6116", idle_exit_s=600),
        data=DataConf(rt_bars=86400, hist_bars=131072, linger_s=60, idle_s=900),
        sim=SimConf(seed=7, speed=1.0, sessions=()),
        ui=UiConf(theme="dark", utc=True, indicators=("vwap",), confirm="all"),
        log=LogConf(level="info"),
        brokers={},
    )


def test_what_is_set_counts(load, folder):
    got = load("""
        [pikerd]
        registry = "trader.local:7000"
        [data]
        rt_bars = 1024
        linger_s = 0.5
        [sim]
        speed = 0
        sessions = [
            "a.gz", {file = "/b.gz", venue = "binance"}, {file = "~/c.gz"}, "../d.gz",
        ]
        [paper]
        slippage_ticks = 2
        [paper.fees.sim]
        maker = 0
        taker = 0.0005
        [log]
        level = "debug"
        [brokers.kraken]
        url = "http://127.0.0.1:9"
        budget = {rate = 3}
    """)
    assert got.pikerd == PikerdConf(registry="trader.local:7000")
    assert got.data == DataConf(rt_bars=1024, linger_s=0.5)
    assert got.sim == SimConf(
        speed=0,
        sessions=(
            SessionFile(file=f"{folder}/a.gz"),
            SessionFile(file="/b.gz", venue="binance"),
            SessionFile(file=os.path.expanduser("~/c.gz")),
            SessionFile(file=f"{folder}/../d.gz"),
        ),
    )
    assert got.paper == PaperConf(
        slippage_ticks=2, fees={"sim": FeeConf(maker=0, taker=0.0005)}
    )
    assert got.log == LogConf(level="debug")
    assert got.brokers == {
        "kraken": {"url": "http://127.0.0.1:9", "budget": {"rate": 3}}
    }


def test_an_edit_counts_at_the_next_call(load):
    assert load("[sim]\nseed = 1").sim.seed == 1
    assert load("[sim]\nseed = 2").sim.seed == 2


def test_a_byte_order_mark_is_no_error(folder):
    (folder / "conf.toml").write_bytes(b"\xef\xbb\xbf[sim]\nseed = 3\n")
    assert config.load_config().sim.seed == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[data]\nrt_bars = "many"',
            'data.rt_bars: expected an integer >= 1024, got "many"',
        ),
        (
            "[data]\nrt_bars = 1023",
            "data.rt_bars: expected an integer >= 1024, got 1023",
        ),
        (
            f"[data]\nrt_bars = {2**25 + 1}",
            "data.rt_bars: expected an integer <= 33554432, got 33554433",
        ),
        (
            "[data]\nhist_bars = 2048.0",
            "data.hist_bars: expected an integer >= 1024, got 2048.0",
        ),
        (
            "[data]\nhist_bars = true",
            "data.hist_bars: expected an integer >= 1024, got true",
        ),
        ("[data]\nlinger_s = -1", "data.linger_s: expected a number >= 0, got -1"),
        ("[data]\nidle_s = nan", "data.idle_s: expected a number >= 0, got nan"),
        ("[data]\nidle_s = inf", "data.idle_s: expected a number <= 31536000, got inf"),
        (
            "[pikerd]\nidle_exit_s = [1]",
            "pikerd.idle_exit_s: expected a number >= 0, got [1]",
        ),
        ("[pikerd]\nregistry = 6116", "pikerd.registry: expected HOST:PORT, got 6116"),
        (
            '[pikerd]\nregistry = "here"',
            "pikerd.registry: an address is HOST:PORT, got 'here': write it like"
            " 127.0.0.1:6116",
        ),
        ("[sim]\nseed = -1", "sim.seed: expected an integer >= 0, got -1"),
        (
            "[sim]\nseed = 9223372036854775808",
            "sim.seed: expected an integer <= 9223372036854775807,"
            " got 9223372036854775808",
        ),
        (
            '[sim]\nsessions = "a.gz"',
            'sim.sessions: expected a list of "path" or {file = "path", venue ='
            ' "name"}, got "a.gz"',
        ),
        ("[sim]\nsessions = [7]", "sim.sessions[0]: expected a table, got 7"),
        (
            '[sim]\nsessions = ["a", ""]',
            'sim.sessions[1].file: expected the path of a file, got ""',
        ),
        (
            '[sim]\nsessions = [{venue = "binance"}]',
            "sim.sessions[0]: lacks the key 'file'",
        ),
        (
            '[sim]\nsessions = [{file = "a", venu = "b"}]',
            "sim.sessions[0].venu: no such key; did you mean sim.sessions[0].venue?",
        ),
        (
            '[log]\nlevel = "loud"',
            'log.level: expected one of "critical", "debug", "error", "info",'
            ' "warning", got "loud"',
        ),
        ("data = 1", "data: expected a table, got 1"),
        ("[data]\nrtbars = 1", "data.rtbars: no such key; did you mean data.rt_bars?"),
        ("[date]", "date: no such key; did you mean data?"),
        (
            "[pikerd]\nrt_bars = 1",
            "pikerd.rt_bars: no such key; did you mean data.rt_bars?",
        ),
        (
            '[clearing]\nnotify = "say"',
            'clearing.notify: expected a list of words, e.g. ["notify-send", "{title}",'
            ' "{text}"], got "say"',
        ),
        (
            '[clearing]\non_missed_cross = "no"',
            'clearing.on_missed_cross: expected one of "alert", "fire", got "no"',
        ),
        (
            "[risk]\nmax_notional = -1",
            "risk.max_notional: expected a number >= 0, got -1",
        ),
        (
            "[log]\nzzz = 1",
            "log.zzz: no such key; known here: level",
        ),
        ('"a\\nb" = 1', '"a\\nb": no such key; known here: '),
        ("brokers = 1", "brokers: expected a table for each backend, as in"),
        ("[brokers]\nkraken = 1", "brokers.kraken: expected a table: keys go below"),
        ("[brokers.Kraken]", "brokers.Kraken: a backend's name is a lower-case word"),
        (
            "[brokers.krakn]\nrest = 'http://x'",
            "brokers.krakn: no such broker; did you mean brokers.kraken?",
        ),
        (
            "[paper]\nlatency_ms = -1",
            "paper.latency_ms: expected a number >= 0, got -1",
        ),
        (
            "[paper]\nmax_quote_age_s = 0",
            "paper.max_quote_age_s: expected a number >= 0.001, got 0",
        ),
        (
            "[paper]\nfees = 0.1",
            "paper.fees: expected a table for each backend, as in [paper.fees.kraken]",
        ),
        (
            "[paper.fees.krakn]\nmaker = 0",
            "paper.fees.krakn: no such broker; did you mean paper.fees.kraken?",
        ),
        (
            "[paper.fees.kraken]\nmaker = 0",
            "paper.fees.kraken: lacks the key 'taker'",
        ),
        (
            "[paper.fees.kraken]\nmaker = 0\ntaker = 9",
            "paper.fees.kraken.taker: expected a number <= 0.5, got 9",
        ),
        (
            "[brokers.nyse]",
            "brokers.nyse: no such broker; known here: binance, kraken, deribit, ib",
        ),
        (
            "[brokers.sim]\nseed = 1",
            "brokers.sim: its settings go into the table [sim]",
        ),
        ("[data]\nrt_bars = \n", "line 2: no valid TOML: invalid value"),
        ("[data]\n\nx", "line 3: no valid TOML: expected '=' after a key"),
        ("x = " + "9" * 5000, "no valid TOML: exceeds the limit"),
    ],
)
def test_refusals(refusal, text, says):
    assert refusal(text).startswith(f"conf.toml: {says}")


def test_a_long_value_is_cut(refusal):
    assert refusal(f"[log]\nlevel = '{'x' * 500}'").endswith("xxx...")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[brokers.kraken]\nsecret = "S3CRET"', "brokers.kraken.secret"),
        ('[brokers]\napi_key = "S3CRET"', "brokers.api_key"),
        ('[brokers.x.accounts.main]\npassword = "S3CRET"', "brokers.x.accounts.main.p"),
        ('[[brokers.x.hosts]]\ntoken = "S3CRET"', "brokers.x.hosts.token"),
        ('[brokers]\nkraken = "S3CRET"', "brokers.kraken"),
    ],
)
def test_secrets_have_no_place_here_and_are_not_repeated(refusal, text, where):
    sentence = refusal(text)
    assert sentence.startswith(f"conf.toml: {where}")
    assert "S3CRET" not in sentence


def test_not_utf8_names_the_line(folder):
    (folder / "conf.toml").write_bytes(b"[log]\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"conf\.toml: line 2: expected UTF-8 text$"):
        config.load_config()


def test_a_file_that_can_not_be_read(folder):
    (folder / "conf.toml").mkdir()
    with pytest.raises(ConfigError, match=r"conf\.toml: can't be read: Is a directory"):
        config.load_config()


def test_a_pipe_in_its_place_is_refused_not_waited_for(folder):
    os.mkfifo(folder / "conf.toml")
    with pytest.raises(ConfigError, match=r"conf\.toml: expected a file, it is a pipe"):
        config.load_config()


_toml_values = (
    st.integers(-(2**70), 2**70) | st.floats() | st.booleans() | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.booleans())
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["pikerd", "data", "sim", "clearing", "risk", "log", "brokers"]),
    st.sampled_from([
        "registry", "idle_exit_s", "rt_bars", "linger_s", "seed", "speed", "sessions",
        "level", "notify", "dark_slip_ticks", "max_size", "nonsense",
    ]),
    _toml_values,
)  # fmt: skip
def test_any_value_gives_a_config_or_one_sentence(table, key, value):
    from piker.config._check import Wrong, build

    try:
        got = build({table: {key: value}})
    except Wrong as e:
        sentence = str(e)
    else:
        assert isinstance(got, Config)
        return
    assert sentence.startswith(f"{table}.{key}")
    assert len(sentence.splitlines()) == 1


# -- the registry's address -----------------------------------------------------------


def test_registry_precedence(load, monkeypatch):
    assert config.registry_addr() == ("127.0.0.1", 6116)
    load('[pikerd]\nregistry = "10.0.0.1:1"')
    assert config.registry_addr() == ("10.0.0.1", 1)
    monkeypatch.setenv("PIKER_REGISTRY", "10.0.0.2:2")
    assert config.registry_addr() == ("10.0.0.2", 2)
    assert config.registry_addr("10.0.0.3:3") == ("10.0.0.3", 3)
    monkeypatch.setenv("PIKER_REGISTRY", "")
    assert config.registry_addr() == ("10.0.0.1", 1)


def test_a_better_source_hides_a_broken_file(folder, monkeypatch):
    (folder / "conf.toml").write_text("not toml")
    assert config.registry_addr("10.0.0.3:3") == ("10.0.0.3", 3)
    monkeypatch.setenv("PIKER_REGISTRY", "10.0.0.2:2")
    assert config.registry_addr() == ("10.0.0.2", 2)


@pytest.mark.parametrize(
    ("text", "addr"),
    [
        ("localhost:65535", ("localhost", 65535)),
        ("a-b.example_c.org:1", ("a-b.example_c.org", 1)),
        ("[::1]:6116", ("::1", 6116)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
    ],
)
def test_addresses(text, addr):
    assert config.registry_addr(text) == addr
    assert config.show_addr(addr) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "an address is HOST:PORT, got '': write it like 127.0.0.1:6116"),
        ("here", "an address is HOST:PORT, got 'here': write it like 127.0.0.1:6116"),
        (":6116", "an address is HOST:PORT, got ':6116'"),
        ("::1:6116", "an address is HOST:PORT, got '::1:6116'"),
        ("a:b", "an address is HOST:PORT, got 'a:b'"),
        ("a:-1", "an address is HOST:PORT, got 'a:-1'"),
        ("a:\N{ARABIC-INDIC DIGIT ONE}", "an address is HOST:PORT, got"),
        ("a:1\n", "an address is HOST:PORT, got 'a:1\\n'"),
        ("a:0", "port 0 in 'a:0' is not one of 1..65535"),
        ("a:65536", "port 65536 in 'a:65536' is not one of 1..65535"),
        ("a b:1", "'a b' in 'a b:1' is neither an IP address nor a host name"),
        ("256.0.0.1:1", "'256.0.0.1' in '256.0.0.1:1' is neither an IP address nor"),
        ("1.2.3:1", "'1.2.3' in '1.2.3:1' is neither"),
        ("-a:1", "'-a' in '-a:1' is neither"),
        ("[127.0.0.1]:1", "'127.0.0.1' in '[127.0.0.1]:1' is neither"),
        ("a..b:1", "'a..b' in 'a..b:1' is neither"),
        ("a" * 64 + ":1", "is neither an IP address nor a host name"),
    ],
)
def test_bad_addresses(text, says, monkeypatch):
    with pytest.raises(UsageError) as caught:
        config.registry_addr(text)
    assert says in str(caught.value)
    if text:
        monkeypatch.setenv("PIKER_REGISTRY", text)
        with pytest.raises(ConfigError) as caught:
            config.registry_addr()
        assert str(caught.value).startswith("PIKER_REGISTRY: ")
        assert says in str(caught.value)


# -- brokers.toml ---------------------------------------------------------------------


def test_no_secrets_file_is_fine():
    assert config.check_secrets_file() is None


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_secrets_file_is_fine(folder, mode):
    path = folder / "brokers.toml"
    path.touch()
    path.chmod(mode)
    assert config.check_secrets_file() == path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o700, 0o610])
def test_an_open_secrets_file_is_refused(folder, mode):
    path = folder / "brokers.toml"
    path.touch()
    path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        config.check_secrets_file()
    assert caught.value.args == (
        f"{path} holds secrets and has mode 0{mode:o}: chmod 600 {path}",
    )


def test_another_users_secrets_file_is_refused(folder, monkeypatch):
    path = folder / "brokers.toml"
    path.touch(mode=0o600)
    owner = os.geteuid()
    monkeypatch.setattr(_secrets.os, "geteuid", lambda: owner + 1)
    with pytest.raises(
        ConfigError, match=f"user {owner}, not to you: chown {owner + 1} "
    ):
        config.check_secrets_file()


def test_a_secrets_folder_is_refused(folder):
    (folder / "brokers.toml").mkdir()
    with pytest.raises(ConfigError, match="must be a regular file"):
        config.check_secrets_file()


def test_a_link_to_a_safe_file_is_fine(folder, tmp_path):
    (tmp_path / "vault").touch(mode=0o600)
    (folder / "brokers.toml").symlink_to(tmp_path / "vault")
    assert config.check_secrets_file() == folder / "brokers.toml"


_watches: list[list[tuple[str, int]]] = []


def _watch(event, args):
    if _watches and event == "open":
        _watches[-1].append((str(args[0]), args[2]))


def test_nothing_here_reads_the_secrets_file(folder):
    """Invariant 4, as far as this package goes: it is made, never read."""
    (folder / "brokers.toml").touch(mode=0o600)
    sys.addaudithook(_watch)
    _watches.append(opened := [])
    try:
        config.check_secrets_file()
        init_config()
        init_config(force=True)
    finally:
        _watches.clear()
    assert f"{folder}/conf.toml" in [path for path, _ in opened]
    flags = [flags for path, flags in opened if "brokers.toml" in path]
    assert len(flags) == 2
    assert all(each & os.O_EXCL and each & os.O_WRONLY for each in flags)
    assert (folder / "brokers.toml.bak").read_text() == ""


# -- templates and piker init --------------------------------------------------------


def _uncommented(text):
    return re.sub(r"^# (\w+ = |\[)", r"\1", text, flags=re.MULTILINE)


def test_the_template_parses_to_the_defaults(load):
    assert load(CONF_TEMPLATE) == Config()


def test_the_template_shows_every_key_with_its_default(load):
    told = tomllib.loads(_uncommented(CONF_TEMPLATE))
    shown = load(_uncommented(CONF_TEMPLATE))
    assert msgspec.structs.replace(shown, brokers={}) == Config()
    kinds = {
        "binance": BinanceConf,
        "kraken": KrakenConf,
        "deribit": DeribitConf,
        "ib": IbConf,
    }
    assert shown.brokers.keys() == kinds.keys()
    for name, kind in kinds.items():
        assert config.load_broker_config(name, kind) == kind()
        assert set(shown.brokers[name]) == set(kind.__struct_fields__)
    for table in ("pikerd", "data", "sim", "clearing", "risk", "paper", "log"):
        fields = type(getattr(Config(), table)).__struct_fields__
        assert set(told[table]) == set(fields)


def test_the_template_can_fail(load):
    changed = _uncommented(CONF_TEMPLATE).replace("86400", "86401")
    assert load(changed) != Config()


def test_the_secrets_template_holds_no_secret():
    assert tomllib.loads(SECRETS_TEMPLATE) == {}


def test_templates_are_written_once(tmp_path):
    place = tmp_path / "new" / "place"
    conf, secrets = place / "conf.toml", place / "brokers.toml"
    assert config.write_templates(place) == [conf, secrets]
    assert secrets.stat().st_mode & 0o777 == 0o600
    conf.write_text("mine")
    secrets.unlink()
    assert config.write_templates(place) == [secrets]
    assert conf.read_text() == "mine"


def test_forced_templates_keep_what_was_there(tmp_path):
    for text in ("first", "second"):
        for name in ("conf.toml", "brokers.toml"):
            (tmp_path / name).write_text(text)
        config.write_templates(tmp_path, force=True)
    for name, template in (
        ("conf.toml", CONF_TEMPLATE),
        ("brokers.toml", SECRETS_TEMPLATE),
    ):
        assert (tmp_path / name).read_text() == template
        assert (tmp_path / f"{name}.bak").read_text() == "first"
        assert (tmp_path / f"{name}.2.bak").read_text() == "second"


def test_templates_do_not_follow_a_link(tmp_path):
    (tmp_path / "conf.toml").symlink_to(tmp_path / "elsewhere")
    assert config.write_templates(tmp_path) == [tmp_path / "brokers.toml"]
    assert not (tmp_path / "elsewhere").exists()


def test_templates_that_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"can't write .*: Not a directory"):
        config.write_templates(tmp_path / "file" / "below")


def test_init(folder):
    first = init_config()
    assert first.written == (f"{folder}/conf.toml", f"{folder}/brokers.toml")
    assert first.kept == ()
    second = init_config()
    assert (second.written, second.kept) == ((), first.written)
    assert result_lines(first) == [
        f"wrote {folder}/conf.toml",
        f"wrote {folder}/brokers.toml",
        "secrets go into brokers.toml only; watching markets needs none",
        f"logs, ledgers and history go to {folder.parent}/state",
    ]
    assert result_lines(second)[0] == f"kept  {folder}/conf.toml"


def test_init_names_what_is_wrong_with_kept_files(folder):
    (folder / "conf.toml").write_text("[data]\nrtbars = 1\n")
    with pytest.raises(ConfigError, match=r"did you mean data\.rt_bars\?"):
        init_config()
    (folder / "conf.toml").write_text("")
    (folder / "brokers.toml").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        init_config()
