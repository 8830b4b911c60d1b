"""A sample of the faults of live orders; `benchmarks.faults live` has all of them."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks._live_faults import run_cases
from tests.brokers._live import BINANCE, DERIBIT, IB, KRAKEN
from tests.brokers._matrix import STEPS, cases

pytestmark = pytest.mark.tree

#: Kinds of faults that are met in the suite, each at some step; a few seconds each.
NAMES = {
    BINANCE: (
        "place: asked place unanswered", "place: told accepted lost",
        "amend: asked amend unanswered", "amend: asked amend half",
        "amend_rest: asked place unanswered", "amend_rest: told ended swapped",
        "fill: told traded lost", "fill: kill brokerd.binance 4 ms",
        "cancel: disconnect rst", "cancel: kill emsd 4 ms",
    ),
    KRAKEN: (
        "place: asked place late", "amend: asked amend unsure",
        "amend_rest: asked amend unanswered", "amend_rest: told amended lost",
        "place: told traded swapped", "amend: asked open stale, disconnect rst",
        "fill: told traded lost", "amend: kill brokerd.kraken 4 ms",
        "cancel: asked cancel silent", "cancel: skew 4000",
    ),
    DERIBIT: (
        "place: asked place unanswered", "place: asked place late",
        "amend: asked amend unsure", "amend_rest: asked amend unanswered",
        "amend_rest: told amended lost", "place: told traded swapped",
        "fill: told traded lost", "fill: kill brokerd.deribit 4 ms",
        "cancel: asked cancel silent", "cancel: disconnect rst",
    ),
    IB: (
        "place: asked place unanswered", "place: told accepted lost",
        "amend: asked amend unsure", "amend: answer open cut, disconnect rst",
        "amend_rest: asked amend unanswered", "fill: told traded lost",
        "fill: kill brokerd.ib 4 ms", "cancel: asked cancel silent",
        "cancel: connectivity", "cancel: kill emsd 4 ms",
    ),
}  # fmt: skip


@pytest.mark.parametrize("at", NAMES, ids=[at.broker for at in NAMES])
def test_the_matrix_is_as_large_as_it_is_said_to_be(at):
    every = [case.name for case in islice(cases(at), 150)]
    assert len(set(every)) == len(every)
    assert {name.partition(":")[0] for name in every} == set(STEPS)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("at", NAMES, ids=[at.broker for at in NAMES])
async def test_whatever_goes_wrong_all_agree_in_the_end(tmp_path, at):
    every = {case.name: case for case in islice(cases(at), 260)}
    sample = [every[name] for name in NAMES[at]]
    found = await run_cases(tmp_path, sample, lambda _: None, at)
    assert {each.case.name: each.wrong for each in found if each.wrong} == {}
    assert len(found) == len(sample)
