"""Logs: their line, where they go, what never gets into them."""

import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, strategies as st

from piker import log
from piker.errors import ConfigError, UsageError
from piker.testing import free_port

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w.-]+ [\w.]+: .*")


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """Take back what a test sets for the process."""
    loggers = [logging.getLogger(name) for name in ("", "piker", "tractor")]
    before = [(each.level, list(each.handlers), each.propagate) for each in loggers]
    yield
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        for handler in set(each.handlers) - set(handlers):
            handler.close()
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate


class _Stderr:
    """What was written to stderr so far."""

    def __init__(self, capsys):
        self._capsys = capsys
        self._text = ""

    def getvalue(self):
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def console(capsys):
    """Return what reads stderr."""
    return _Stderr(capsys)


def _leave_ours_only():
    """Take away pytest's own handlers, which raise where ours must not."""
    root = logging.getLogger()
    ours = log._Console | log._File | log._Nowhere
    root.handlers[:] = [each for each in root.handlers if isinstance(each, ours)]


def _lines(stream):
    return stream.getvalue().splitlines()


def test_the_line(console):
    log.setup_logging("datad.sim", console=True, file=None)
    logger = log.get_logger("piker.data._bus")
    record = logger.makeRecord(
        logger.name, logging.WARNING, "f", 1, "slow %s=%d", ("rate", 3), None
    )
    record.created = 1_795_472_099.1239
    logger.handle(record)
    assert _lines(console) == [
        "2026-11-23T22:14:59.123Z WARNING datad.sim piker.data._bus: slow rate=3"
    ]


def test_further_lines_are_indented(console):
    log.setup_logging("pikerd", console=True, file=None)
    forged = "2026-11-23T22:14:59.123Z ERROR pikerd piker.x: forged"
    try:
        raise ValueError(f"one\n{forged}\rtwo\x1b[2J")
    except ValueError:
        log.get_logger("piker.x").exception("failed\u2028next\n")
    first, *rest = _lines(console)
    assert first.endswith("ERROR pikerd piker.x: failed")
    assert rest[:2] == ["    next", "    Traceback (most recent call last):"]
    assert rest[-3:] == ["    ValueError: one", f"    {forged}", "    two\\x1b[2J"]


@given(st.text())
def test_no_text_makes_a_second_line_of_its_own(text):
    formatter = log._Formatter("x")
    record = logging.LogRecord("piker.x", logging.INFO, "f", 1, "%s", (text,), None)
    first, *rest = formatter.format(record).splitlines() or [""]
    assert _LINE.fullmatch(first)
    assert all(each.startswith("    ") for each in rest)


def test_levels(console):
    log.setup_logging("x", "warning", console=True, file=None)
    log.get_logger("piker.a").info("no")
    log.get_logger("piker.a").warning("yes")
    logging.getLogger("httpx").info("no")
    logging.getLogger("httpx").warning("yes")
    assert [line.split()[1:] for line in _lines(console)] == [
        ["WARNING", "x", "piker.a:", "yes"],
        ["WARNING", "x", "httpx:", "yes"],
    ]


def test_a_second_call_replaces_the_first(console, tmp_path):
    logger = log.get_logger("piker.a")
    log.setup_logging("one", "debug", console=True, file=tmp_path / "one.log")
    logger.debug("first")
    log.setup_logging("two", "info", console=True, file=tmp_path / "two.log")
    logger.debug("dropped")
    logger.info("second")
    log.setup_logging("two", "info", console=False, file=None)
    logger.critical("nowhere")
    assert [line.split()[2:] for line in _lines(console)] == [
        ["one", "piker.a:", "first"], ["two", "piker.a:", "second"],
    ]  # fmt: skip
    for name, text in (("one", "first"), ("two", "second")):
        (line,) = (tmp_path / f"{name}.log").read_text().splitlines()
        assert line.endswith(text)


def test_other_handlers_stay(console):
    root = logging.getLogger()
    foreign = logging.NullHandler()
    root.addHandler(foreign)
    log.setup_logging("x", console=True, file=None)
    log.setup_logging("x", console=True, file=None)
    assert root.handlers.count(foreign) == 1
    assert sum(isinstance(each, log._Console) for each in root.handlers) == 1


def test_the_file_rotates_and_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "MAX_FILE_BYTES", 2_000)
    path = log.log_path(tmp_path, "datad.sim")
    assert path == tmp_path / "log" / "datad.sim.log"
    log.setup_logging("datad.sim", console=False, file=path)
    for i in range(200):
        log.get_logger("piker.a").info("line %d %s", i, "x" * 40)
    logged = sorted(path.parent.iterdir())
    assert [each.name for each in logged] == [
        "datad.sim.log", "datad.sim.log.1", "datad.sim.log.2", "datad.sim.log.3",
    ]  # fmt: skip
    assert {each.stat().st_mode & 0o777 for each in logged} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert all(each.stat().st_size <= 2_000 for each in logged)
    assert "line 199 " in path.read_text()


def test_the_file_is_appended_to(tmp_path):
    path = tmp_path / "a.log"
    for text in ("one", "two"):
        log.setup_logging("a", console=False, file=path)
        log.get_logger("piker.a").info("%s", text + "\udcff\N{SNOWMAN}")
    assert [line[-8:] for line in path.read_text("utf-8").splitlines()] == [
        "e\\udcff\N{SNOWMAN}", "o\\udcff\N{SNOWMAN}",
    ]  # fmt: skip


def test_a_bad_level_is_refused(tmp_path):
    with pytest.raises(UsageError) as caught:
        log.setup_logging("a", "loud", console=False, file=None)
    assert caught.value.args == (
        "no log level 'loud': one of debug, info, warning, error, critical",
    )


def test_a_file_that_can_not_be_opened(console, tmp_path):
    (tmp_path / "file").touch()
    log.setup_logging("a", console=True, file=None)
    with pytest.raises(ConfigError, match=r"can't log to .*/file/a\.log: "):
        log.setup_logging("b", console=True, file=tmp_path / "file" / "a.log")
    log.get_logger("piker.a").info("still")
    (line,) = _lines(console)
    assert line.endswith("INFO a piker.a: still")


def test_an_actor_name_is_no_path(tmp_path):
    with pytest.raises(UsageError, match=r"an actor's name is .*, got '\.\./a'"):
        log.log_path(tmp_path, "../a")


# -- secrets ------------------------------------------------------------------------

SECRET = "kQH5/Hw+8p\"1aGVsb G8='\\"


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        repr({"secret": SECRET}),
        json.dumps({"secret": SECRET}),
        "https://x/?k=kQH5%2FHw%2B8p%221aGVsb%20G8%3D%27%5C",
        "https://x/?k=kQH5%2FHw%2B8p%221aGVsb+G8%3D%27%5C",
    ],
)
def test_a_secret_never_shows(console, tmp_path, written):
    log.add_secret(SECRET)
    path = tmp_path / "a.log"
    log.setup_logging("a", console=True, file=path)
    logger = log.get_logger("piker.a")
    logger.info("sent %s", written)
    logger.info("sent %s", {"nested": [written]})
    try:
        raise ValueError(written)
    except ValueError:
        logger.exception("refused")
    logging.getLogger("httpx").warning(written)
    for text in (console.getvalue(), path.read_text()):
        assert "***" in text
        for piece in ("kQH5", "aGVsb", "8p"):
            assert piece not in text


def test_a_key_of_many_lines_never_shows(console):
    key = "-----BEGIN KEY-----\nMIIBVAIBADANBgkqhkiG9w0BA\nQEFAASCAT4wggE6AgEAAk\n"
    log.add_secret(key)
    log.setup_logging("a", console=True, file=None)
    logger = log.get_logger("piker.a")
    logger.info("key %s", key)
    logger.info("key %r", key)
    logger.info("line %s", key.splitlines()[1])
    assert "MIIB" not in console.getvalue()
    assert "QEFA" not in console.getvalue()
    assert console.getvalue().count("***") >= 3


def test_what_is_no_secret_shows(console):
    log.add_secret("")
    log.setup_logging("a", console=True, file=None)
    log.get_logger("piker.a").info("plain %s", SECRET)
    (line,) = _lines(console)
    assert line.endswith(f"plain {SECRET}")


def test_a_wrong_call_is_logged_and_shows_no_secret(console):
    log.add_secret(SECRET)
    log.setup_logging("a", console=True, file=None)
    _leave_ours_only()
    log.get_logger("piker.a").info("%d of %s", SECRET)
    assert "%d of %s" in console.getvalue()
    assert "kQH5" not in console.getvalue()


class _Hostile:
    def __str__(self):
        raise RuntimeError(SECRET)


def test_a_lost_record_shows_nothing_of_itself(console):
    log.setup_logging("a", console=True, file=None)
    _leave_ours_only()
    log.get_logger("piker.a").info("%s", _Hostile())
    assert _lines(console) == ["lost a log record of piker.a: RuntimeError"]


_quotings = st.lists(
    st.sampled_from([
        repr, json.dumps, lambda text: json.dumps(text, ensure_ascii=False),
        quote, quote_plus, lambda text: quote(text, safe=""), ascii,
    ]),
    max_size=3,
)  # fmt: skip


@example('"', [json.dumps])
@given(st.text(st.characters(codec="utf-8"), min_size=1), _quotings)
def test_a_secret_is_found_however_it_is_quoted(secret, quotings):
    text = f"<{secret}>"
    for quoting in quotings:
        text = quoting(text)
    shown = log.redact(text, [secret])
    assert "***" in shown
    # Nothing but brackets and what quoting adds stays around it; a secret that is a
    # mark of quoting itself is found more than once.
    assert re.fullmatch(r"([\\\"'<>%0-9A-Z]|\*\*\*)*", shown)


def test_many_backslashes_take_no_time():
    began = time.thread_time()
    log.redact("\\" * 5000, ["\\" * 20 + "x"])
    assert time.thread_time() - began < 1


def test_redact_takes_the_longest_first():
    assert log.redact("abcdef abc", ["abc", "abcdef", ""]) == "*** ***"
    assert log.redact("a.c abc", ["a.c"]) == "*** abc"
    assert log.redact("text", []) == "text"


# -- the actor runtime ----------------------------------------------------------------

_CLOSED = """Remote context error for ('kid', '20fcea6d'):0dff53b9:
Traceback (most recent call last):
  File "tractor/_actor.py", line 238, in _invoke
    raise ContextCancelled(
tractor._exceptions.ContextCancelled: ep was remotely cancelled by its caller
"""
_FAILED = """Remote context error for ('kid', '20fcea6d'):0dff53b9:
Traceback (most recent call last):
  File "x.py", line 10, in bad
    raise RuntimeError("no ContextCancelled")
RuntimeError: no ContextCancelled
"""


@pytest.mark.parametrize(
    ("level", "message", "shown"),
    [
        (logging.ERROR, _CLOSED, False),
        (logging.CRITICAL, "#ZOMBIE_LORD_IS_HERE: <Process>", False),
        (logging.ERROR, _FAILED, True),
        (logging.ERROR, "Actor crashed:", True),
        (logging.WARNING, "anything", False),
        (16, "anything", False),
    ],
)
@pytest.mark.parametrize("name", ["tractor", "tractor._streaming"])
def test_only_real_errors_of_the_runtime_show(console, name, level, message, shown):
    logging.getLogger(name).setLevel(1)  # as its own set-up may have left it
    log.setup_logging("a", console=True, file=None)
    logging.getLogger("tractor").setLevel(1)
    logging.getLogger(name).log(level, message)
    assert bool(_lines(console)) is shown


def test_the_same_words_from_elsewhere_show(console):
    log.setup_logging("a", console=True, file=None)
    log.get_logger("piker.a").error(_CLOSED)
    assert len(_lines(console)) == 5


def test_the_runtime_can_be_made_to_talk(console):
    log.setup_logging("a", console=True, file=None, runtime_level="info")
    logging.getLogger("tractor").info("hello")
    assert len(_lines(console)) == 1


_ACTORS = """
import inspect, sys, warnings
warnings.simplefilter("ignore")
import trio, tractor
from piker.log import get_logger, setup_logging

@tractor.context
async def endpoint(ctx):
    await ctx.started()
    await trio.sleep_forever()

async def main():
    setup_logging("root", console=True, file=None)
    # not tractor's usual place: another suite may be there
    at = ("127.0.0.1", int(sys.argv[1]))
    is_old = "arbiter_addr" in inspect.signature(tractor.open_root_actor).parameters
    at = {"arbiter_addr": at} if is_old else {"registry_addrs": [at]}
    async with tractor.open_nursery(**at) as actors:
        kid = await actors.start_actor("kid", enable_modules=[__name__])
        async with kid.open_context(endpoint) as (ctx, _):
            await ctx.cancel()
        get_logger("piker.x").warning("done")
        tractor.log.get_logger("x").error("seen")
        await actors.cancel()

if __name__ == "__main__":
    trio.run(main)
"""


@pytest.mark.tree
def test_a_normal_close_of_a_real_context_is_silent(tmp_path):
    (tmp_path / "actors.py").write_text(_ACTORS)
    root = Path(log.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "actors.py", str(free_port())],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, timeout=60,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "Deprecat" not in line]
    lines = [line for line in lines if not line.startswith("  ")]
    assert [line.split()[1:] for line in lines] == [
        ["WARNING", "root", "piker.x:", "done"],
        ["ERROR", "root", "tractor.x:", "seen"],
    ]
