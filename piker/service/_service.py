"""One supervised daemon: what its supervisor knows of it, and how it died."""

from __future__ import annotations

from dataclasses import dataclass, field

import psutil
import trio

from piker.errors import PikerError, RemoteFailure, TransportClosed
from piker.msgs import ServiceInfo, State

from . import _tractor as tr
from ._policy import Backoff
from ._spec import DaemonSpec


@dataclass(eq=False)
class Service:
    """One supervised daemon."""

    spec: DaemonSpec
    backoff: Backoff
    state: State = "starting"
    reason: str = ""
    restarts: int = 0
    child: tr.Child | None = None
    up_at: float = 0.0
    was_up: bool = False
    wedged: str = ""
    doing: str = ""
    wanted: bool = True
    forced: bool = False
    refusal: PikerError | None = None
    run_scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    wake: trio.Event = field(default_factory=trio.Event)
    changed: trio.Event = field(default_factory=trio.Event)
    proc: psutil.Process | None = None

    @property
    def may_start(self) -> bool:
        """Tell whether it is to run: nobody stopped it, and no quarantine holds it."""
        return self.wanted and (self.forced or self.state != "quarantined")

    @property
    def pid(self) -> int:
        """Process id while it has a process, else -1."""
        return self.child.pid if self.child and self.child.exit_code is None else -1


@dataclass(frozen=True)
class Death:
    """How one run of a daemon ended.

    Attributes:
      exit_code: of its process; negative is the signal; None if it had none.
      reason: one sentence.
      traceback: the daemon's own, as text.
      finished: its setup returned: it has done what it was for.
      refusal: what its setup refused to run with, the first time it was asked.
    """

    exit_code: int | None
    reason: str
    traceback: str = ""
    finished: bool = False
    refusal: PikerError | None = None


def post_mortem(
    service: Service,
    exit_code: int | None,
    error: Exception | None,
    *,
    finished: bool,
) -> Death:
    """Return what *error*, and the exit code, say of the run that has just ended.

    A refusal is an error of ours that the daemon itself raised before it ever was
    up: whoever asked for it is to hear it, and a retry would hear the same. A fault
    of its code is none: it is retried, and quarantined if it lasts.
    """
    if error is None:
        reason = "it ended by itself" if finished else service.reason
        return Death(exit_code, reason, finished=finished)
    trace = tr.remote_traceback(error)
    spoken = isinstance(error, PikerError) and not isinstance(error, TransportClosed)
    reason = str(error) if spoken else _exit_text(exit_code)
    if service.wedged:
        reason = f"it was wedged ({service.wedged}) and killed"
    elif not isinstance(error, PikerError):
        reason = f"its supervision failed: {' '.join(repr(error).split())}"
    first = not (service.was_up or service.restarts)
    refused = first and spoken and trace and not isinstance(error, RemoteFailure)
    refusal = error if refused and isinstance(error, PikerError) else None
    return Death(exit_code, reason, trace, refusal=refusal)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "it broke its connection"
    return f"it was killed by signal {-code}" if code < 0 else f"it exited with {code}"


def find_process(pid: int) -> psutil.Process | None:
    """Return *pid*'s process, ready to be measured; None if it is gone."""
    try:
        proc = psutil.Process(pid)
        proc.cpu_percent()
    except psutil.Error:
        return None
    return proc


def measure(proc: psutil.Process | None) -> tuple[float, float]:
    """Return (resident MiB, percent of one core since the last look); zeros if gone."""
    try:
        if proc is None:
            return 0.0, 0.0
        return proc.memory_info().rss / 2**20, proc.cpu_percent()
    except psutil.Error:
        return 0.0, 0.0


def service_info(service: Service, address: str) -> ServiceInfo:
    """Return *service* as clients see it, listening at *address*."""
    up = service.pid > 0 and service.was_up
    rss, cpu = measure(service.proc if up else None)
    return ServiceInfo(
        name=service.spec.name,
        pid=service.pid,
        state=service.state,
        uptime_s=round(trio.current_time() - service.up_at, 3) if up else 0.0,
        restarts=service.restarts,
        rss_mb=round(rss, 1),
        cpu=cpu,
        address=address if up else "",
        reason=service.reason,
        doing=service.doing if up else "",
    )
