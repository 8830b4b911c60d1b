"""What draws in charts from elsewhere, before charts that answer when they like."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from piker.errors import ChartNotFound, UsageError
from piker.msgs import AnnotDone, RemoveRects
from piker.ui._annot_ctl import AnnotCtl


class SlowChart:
    """Answers each command after a while, in turn: the first number is its fault."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.asked: list[int] = []
        self._answers: list[tuple[float, AnnotDone]] = []

    async def send(self, command: RemoveRects) -> None:
        await trio.lowlevel.checkpoint()
        self.asked += command.aids
        done = AnnotDone(fault=f"it is {command.aids[0]}")
        self._answers.append((trio.current_time() + self.takes_s, done))

    async def receive(self) -> AnnotDone:
        await trio.sleep_until(self._answers[0][0])
        return self._answers.pop(0)[1]


def ctl_of(*charts: SlowChart) -> AnnotCtl:
    ctl = AnnotCtl()
    ctl._streams += charts
    return ctl


async def test_a_command_that_is_cancelled_leaves_the_next_ones_answer(autojump_clock):
    chart = SlowChart(takes_s=1.0)
    ctl = ctl_of(chart)
    with trio.move_on_after(0.5) as scope:
        await ctl.remove(1)
    assert scope.cancelled_caught
    for number in (2, 3):
        with pytest.raises(UsageError, match=f"it is {number}"):
            await ctl.remove(number)
    assert chart.asked == [1, 2, 3]


async def test_a_command_that_is_cancelled_waits_for_no_stuck_chart(autojump_clock):
    ctl = ctl_of(SlowChart(takes_s=1e9))
    with trio.move_on_after(0.5):
        await ctl.remove(1)
    assert trio.current_time() < 10
    with pytest.raises(ChartNotFound, match="all charts were closed"):
        await ctl.remove(2)


async def test_what_is_cancelled_before_its_turn_is_never_asked(autojump_clock):
    chart = SlowChart(takes_s=1.0)
    ctl = ctl_of(chart)

    async def ask(number: int) -> None:
        with pytest.raises(UsageError, match=f"it is {number}"):
            await ctl.remove(number)

    async with trio.open_nursery() as tasks:
        tasks.start_soon(ask, 1)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5):
            await ctl.remove(2)
    assert chart.asked == [1]
