"""trio as a guest in Qt's event loop: both run in one thread, neither waits.

    Qt: events, painting  <--posted--  trio: feeds, orders, the tree

Ctrl-C is trio's: its handler stays in place. Closing the last window ends nothing by
itself; who opened it waits for that and returns, and then Qt's loop ends too.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from PySide6.QtCore import QCoreApplication, QEvent, QObject
from PySide6.QtWidgets import QApplication

from piker.log import get_logger
from piker.ui._screen import check_screen

if TYPE_CHECKING:
    from outcome import Outcome

log = get_logger(__name__)
T = TypeVar("T")


class _Posted(QEvent):
    """A function to be called in Qt's thread."""

    KIND = QEvent.Type(QEvent.registerEventType())

    def __init__(self, func: Callable[[], object]) -> None:
        super().__init__(self.KIND)
        self.func = func


class _Letterbox(QObject):
    """Calls what is posted to it, from whichever thread."""

    def event(self, event: QEvent) -> bool:
        if isinstance(event, _Posted):
            event.func()
            return True
        return super().event(event)

    def post(self, func: Callable[[], object]) -> None:
        QCoreApplication.postEvent(self, _Posted(func))


def application(name: str = "piker") -> QApplication:
    """Return the process's one application.

    Raises UsageError where there is no screen to show it on: Qt itself would abort.
    """
    running = QApplication.instance()
    if isinstance(running, QApplication):
        return running
    check_screen()
    app = QApplication([name])
    app.setApplicationName(name)
    app.setQuitOnLastWindowClosed(False)
    return app


@contextmanager
def _noted(on_fault: Callable[[BaseException], None]) -> Iterator[None]:
    """Log errors of what Qt calls, which it would print and go on; and tell of them."""

    def note(
        kind: type[BaseException], err: BaseException, trace: TracebackType | None
    ) -> None:
        log.error("a fault in a window", exc_info=(kind, err, trace))
        on_fault(err)

    kept, sys.excepthook = sys.excepthook, note
    try:
        yield
    finally:
        sys.excepthook = kept


def run(
    app: QApplication,
    work: Callable[[], Awaitable[T]],
    on_fault: Callable[[BaseException], None] = lambda _: None,
) -> T:
    """Run *work* with trio while Qt's loop runs; return what it returns.

    Args:
      app: of :func:`application`.
      work: to be run; what it raises is raised here.
      on_fault: told of errors in what Qt calls, painting or keys; they end nothing.
    """
    box, ended = _Letterbox(), list[Any]()

    def done(outcome: Outcome[T]) -> None:
        ended.append(outcome)
        app.quit()

    trio.lowlevel.start_guest_run(
        work,
        run_sync_soon_threadsafe=box.post,
        done_callback=done,
        restrict_keyboard_interrupt_to_checkpoints=True,
    )
    # a quit that comes from elsewhere, e.g. the desktop, isn't the end of the work
    with _noted(on_fault):
        while not ended:
            app.exec()
    result: T = ended[0].unwrap()
    return result
