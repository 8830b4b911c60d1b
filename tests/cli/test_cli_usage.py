"""``piker`` itself: its options, its help, and what it refuses, in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pytest
import typer
import typer.core
from typer.testing import CliRunner

from piker import cli
from piker.cli import _run, pikerd, search as search_command
from piker.cli._app import app
from piker.data import Found
from piker.errors import ConfigError, SymbolNotFound, VenueUnreachable
from piker.msgs import Match
from piker.testing import free_port, private_dirs

COMMANDS = (
    "brokers",
    "debug",
    "demo",
    "doctor",
    "halt",
    "init",
    "ledger",
    "orders",
    "quotes",
    "record",
    "resume",
    "search",
    "services",
)


@pytest.fixture(autouse=True)
def dirs(tmp_path, monkeypatch):
    """No test sees the user's config, or a tree of theirs."""
    monkeypatch.setenv("PIKER_REGISTRY", f"127.0.0.1:{free_port()}")
    with private_dirs(tmp_path / "dirs") as dirs:
        yield dirs


def piker(*args):
    return CliRunner().invoke(app, list(args), prog_name="piker")


def refused(result, code, *words):
    assert result.exit_code == code, result.output
    assert not result.stdout
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr


@pytest.mark.parametrize(
    ("module", "name", "start"),
    [("_app", "command", cli.main), ("pikerd", "main", cli.pikerd_main)],
)
def test_ctrl_c_while_the_program_is_still_being_loaded(
    monkeypatch, module, name, start
):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(f"piker.cli.{module}.{name}", interrupted)
    monkeypatch.setattr("piker.process.leave", sys.exit)
    with pytest.raises(SystemExit) as end:
        start()
    assert end.value.code == 130


@pytest.mark.parametrize("args", [(), ("--help",), ("-h",)])
def test_help_names_every_command(args):
    result = piker(*args)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)
    assert not result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    result = piker(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: piker {name}" in result.stdout


def test_version():
    result = piker("--version")
    assert (result.exit_code, result.stdout) == (0, "piker 0.1.0\n")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("frobnicate",), ("no such command 'frobnicate'",)),
        (("servces",), ("; did you mean 'services'",)),
        (("services", "restrat", "x"), ("no such command 'restrat'",)),
        (("--frob",), ("no such option: --frob", "`piker --help`")),
        (("doctor", "--frob"), ("--frob", "`piker doctor --help`")),
        (("services", "restart"), ("missing argument",)),
        (("services", "--registry", "a:1"), ("--registry", "before the command")),
        (("debug",), ("missing command", "`piker debug --help`")),
        (("debug", "dump", "--deadline", "x"), ("'--deadline'", "number")),
        (("quotes",), ("missing argument", "`piker quotes --help`")),
        (("quotes", "a.sim", "--count", "0"), ("--count",)),
        (("quotes", "a.sim", "--hz", "nan"), ("--hz",)),
        (("search",), ("missing argument",)),
        (("search", "btc", "-b", "nope"), ("no broker 'nope'", "sim")),
        (("search", "btc", "--kind", "coin"), ("no kind 'coin'", "crypto")),
        (("-r", "nonsense", "services"), ("HOST:PORT", "'nonsense'")),
        (("-r", "127.0.0.1:99999", "services"), ("99999",)),
        (("services", "restart", "pikerd"), ("pikerd", "root")),
        (("demo", "--session", "/no/such.gz"), ("no session file", "such.gz")),
        (("demo", "--seconds", "0"), ("--seconds",)),
    ],
)
def test_usage_errors_are_one_sentence(args, words):
    refused(piker(*args), 2, *words)


def test_search_names_who_did_not_answer(monkeypatch):
    found = Found(
        [Match(fqme="a.one", kind="crypto", score=95.0)],
        {"two": VenueUnreachable("no route to two")},
    )

    async def search(*_):
        return found

    monkeypatch.setattr(search_command, "_search", search)
    result = piker("search", "btc", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["fqme"] == "a.one"
    assert result.stderr == "two didn't answer: no route to two\n"
    found.matches.clear()
    result = piker("search", "btc")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[1] == "no market fits 'btc' at the others"


@pytest.mark.parametrize(
    "args",
    [
        ("services",),
        ("services", "--json"),
        ("services", "--watch"),
        ("services", "--watch", "--json"),
        ("services", "restart", "datad.sim"),
        ("services", "stop", "pikerd"),
        ("debug", "dump"),
    ],
)
def test_reading_commands_start_no_pikerd(args):
    started = time.monotonic()
    refused(piker(*args), 1, "no pikerd answers at 127.0.0.1:", "start one with")
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[pikerd]\nregstry = 1\n", "pikerd.regstry"),
        ("[brokers.krakn]\nrest = 'http://x'\n", "brokers.krakn"),
    ],
)
def test_bad_conf_is_named(dirs, monkeypatch, text, named):
    with open(f"{dirs.config}/conf.toml", "w") as file:
        file.write(text)
    monkeypatch.delenv("PIKER_REGISTRY")
    refused(piker("services"), 1, "conf.toml", named, "did you mean")


def test_config_dir_is_used(tmp_path, monkeypatch):
    monkeypatch.delenv("PIKER_REGISTRY")
    (tmp_path / "conf.toml").write_text("nonsense")
    refused(piker("-c", str(tmp_path), "services"), 1, str(tmp_path / "conf.toml"))


# -- what guarded() makes of errors -------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SymbolNotFound("no market 'x'"), 2, "error: no market 'x'\n"),
        (ConfigError("conf.toml: a.b: wrong"), 1, "error: conf.toml: a.b: wrong\n"),
        (
            ExceptionGroup("g", [ValueError("x"), ConfigError("said")]),
            1,
            "error: said\n",
        ),
        (BaseExceptionGroup("g", [KeyboardInterrupt()]), 130, ""),
        (KeyboardInterrupt(), 130, ""),
        (ExceptionGroup("g", [typer.Exit(7)]), 7, ""),
        (
            ValueError("oops"),
            1,
            "error: a fault of piker itself: ValueError('oops'); -v shows the "
            "traceback\n",
        ),
    ],
)
def test_errors_become_sentences_and_codes(error, code, text, capsys):
    with pytest.raises(typer.Exit) as caught, _run.guarded():
        raise error
    assert caught.value.exit_code == code
    assert capsys.readouterr().err == text


def test_verbose_shows_the_traceback(capsys):
    with pytest.raises(typer.Exit), _run.guarded(verbose=True):
        raise ConfigError("said")
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: said\n")


# -- pikerd's own -------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--frob",), 2, ("--frob", "`pikerd --help`")),
        (("-r", "x"), 2, ("HOST:PORT", "'x'")),
        (("-l", "loud"), 2, ("no log level 'loud'", "info")),
    ],
)
def test_pikerd_refuses_before_it_boots(args, code, words):
    result = CliRunner().invoke(pikerd.app, list(args), prog_name="pikerd")
    refused(result, code, *words)


@pytest.mark.parametrize("args", [["--version"], ["--help"]])
def test_pikerd_tells_of_itself(args):
    result = CliRunner().invoke(pikerd.app, args, prog_name="pikerd")
    assert result.exit_code == 0
    assert "pikerd" in result.stdout or "piker 0.1.0" in result.stdout


def test_pikerd_checks_the_config_first(dirs):
    with open(f"{dirs.config}/conf.toml", "w") as file:
        file.write("[log]\nlevel = 'loud'\n")
    result = CliRunner().invoke(pikerd.app, [], prog_name="pikerd")
    refused(result, 1, "conf.toml", "log.level", "loud")


def test_pikerd_checks_the_secrets_first(dirs):
    path = f"{dirs.config}/brokers.toml"
    with open(path, "w") as file:
        file.write("")
    os.chmod(path, 0o644)
    result = CliRunner().invoke(pikerd.app, [], prog_name="pikerd")
    refused(result, 1, "brokers.toml", "chmod 600")


# -- weight -------------------------------------------------------------------

HEAVY = ("trio", "tractor", "numpy", "psutil", "msgspec", "rich.live", "piker.service")


def test_commands_import_nothing_heavy():
    code = (
        "import sys, piker.cli._app, piker.cli.pikerd\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_text_and_what_was_not_typed_need_no_library(dirs):
    """Pydantic would be a fifth of a command's start."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from piker.cli._app import app\n"
        "assert not CliRunner().invoke(app, ['brokers', '--json']).exit_code\n"
        "assert CliRunner().invoke(app, ['search', 'x', '-k', 'frob']).exit_code\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


TYPED = [
    (), ("a",), ("a", "", "-"), ("--text", ""), ("--text", "None"), ("--many", "a"),
    ("--many", "a", "--many", ""), ("--whole", "3"), ("--whole", "0"),
    ("--whole", "x"), ("--whole", "3.5"), ("--part", "3"), ("--part", "nan"),
    ("--part", "9"), ("--part", "-1"), ("--part", ""), ("--free", "1e3"),
    ("--free", "x"), ("--path", "/a/../b"), ("--path", ""), ("--flag",),
]  # fmt: skip


@pytest.mark.parametrize("args", TYPED, ids=" ".join)
def test_what_is_typed_is_taken_as_typer_takes_it(args, monkeypatch):
    told = []

    def command(
        texts: Annotated[list[str] | None, typer.Argument()] = None,
        text: str | None = None,
        many: list[str] | None = None,
        whole: Annotated[int | None, typer.Option(min=1)] = None,
        part: Annotated[float, typer.Option(min=0.5, max=4)] = 1.0,
        free: float = 2.0,
        path: Path | None = None,
        flag: bool = False,
    ) -> None:
        told[-1] = (texts, text, many, whole, repr(part), free, path, flag)

    one = typer.Typer()
    one.command()(command)
    results = []
    ours = typer.core.build_runtime_param
    for builder in (ours, ours._build):
        monkeypatch.setattr("typer.core.build_runtime_param", builder)
        told.append(())
        results.append(CliRunner().invoke(one, args))
    assert told[0] == told[1]
    assert results[0].output == results[1].output
    assert results[0].exit_code == results[1].exit_code


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", ["--help", "brokers", "brokers --json"])
def test_a_full_disk_at_stdout_is_a_sentence(args, unbuffered):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "piker", *args.split()],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: can't write: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(closed):
    command = f"exec {sys.executable} -m piker brokers --json {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_current_folder_that_was_removed_is_a_sentence(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    command = f"cd {folder} && rmdir {folder} && exec {sys.executable} -m piker"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} services"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the current folder was removed: cd to one that exists\n"
    )
