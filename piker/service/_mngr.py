"""``Services``: the daemons of this process, supervised one for one.

    start_actor(spec) -> [supervisor task: scope -> process -> lifetime context]
                          dies alone, is started again by the policy

Only who holds a ``Services`` restarts anything; clients wait.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
import trio

from piker.errors import (
    PikerError,
    ServiceError,
    ServiceQuarantined,
    ServiceStopped,
    TransportClosed,
)
from piker.log import get_logger
from piker.msgs import ServiceEvent, ServiceInfo, State

from . import _tractor as tr
from ._policy import Backoff, Event, Policy, Pulse, next_state
from ._spec import DaemonSpec, teardown_rank

log = get_logger(__name__)

TEARDOWN_DEADLINE_S = 8.0


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
class _Death:
    """How one run of a daemon ended."""

    exit_code: int | None
    reason: str
    traceback: str = ""
    finished: bool = False
    refusal: PikerError | None = None


class Services:
    """The daemons this process supervises, by name."""

    def __init__(self, nursery: trio.Nursery, policy: Policy | None = None) -> None:
        self.service_n = nursery
        self.policy = policy or Policy()
        self.service_tasks: dict[str, Service] = {}
        self.locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self.history: deque[ServiceEvent] = deque(maxlen=500)
        self._listeners: set[trio.MemorySendChannel[ServiceEvent]] = set()
        self._closing = False

    @property
    def actor_n(self) -> Services:
        """Where actors are started; each has a scope of its own, none shared."""
        return self

    # -- commands -------------------------------------------------------------

    async def start_actor(self, spec: DaemonSpec) -> Service:
        """Start *spec*'s daemon and supervise it from now on; return once it is up.

        Raises:
          ServiceError: one of that name is supervised already.
          PikerError: its setup refused to run, with its own error; not retried.
          ServiceQuarantined: it died too often before it was up.
        """
        if spec.name in self.service_tasks:
            raise ServiceError(f"daemon {spec.name!r} is supervised already")
        if self._closing:
            raise ServiceError("pikerd is ending")
        service = Service(spec, Backoff(self.policy))
        self.service_tasks[spec.name] = service
        self.service_n.start_soon(self._supervise, service)
        return await self.wait_up(spec.name)

    async def wait_up(self, name: str) -> Service:
        """Return the service once it is running; raises what keeps it from it."""
        service = self._get(name)
        while True:
            if service.refusal is not None:
                raise service.refusal
            if self.service_tasks.get(name) is not service:
                raise ServiceError(f"daemon {name!r} ended: {service.reason}")
            if service.state in ("running", "unresponsive"):
                return service
            if service.state == "quarantined":
                raise ServiceQuarantined(
                    f"{name!r} is quarantined: {service.reason}; "
                    f"`piker services restart {name}` tries again"
                )
            if service.state in ("stopped", "stopping") and not service.wanted:
                raise ServiceStopped(
                    f"{name!r} was stopped by command; "
                    f"`piker services restart {name}` starts it"
                )
            await service.changed.wait()

    async def restart(self, name: str) -> Service:
        """Restart *name*, whatever its state; return once it is up."""
        service = self._get(name)
        service.wanted = service.forced = True
        service.backoff.forgive()
        before = service.restarts
        self._set(service, "restart", reason="restart by command")
        service.run_scope.cancel()
        service.wake.set()
        while service.restarts == before:
            await service.changed.wait()
        return await self.wait_up(name)

    async def cancel_service(self, name: str) -> None:
        """Stop *name* and keep it stopped until it is restarted by command."""
        service = self._get(name)
        service.wanted = service.forced = False
        self._set(service, "stop", reason="stopped by command")
        service.run_scope.cancel()
        service.wake.set()
        while service.state != "stopped":
            await service.changed.wait()

    async def start_service_task(
        self, name: str, portal: Any, target: Callable[..., Any], **kwargs: Any
    ) -> tuple[trio.CancelScope, Any]:
        """Hold the endpoint *target* open in *portal*'s actor until its scope ends.

        Returns the scope and what the endpoint started with. Its death ends the task
        and nothing else.
        """

        async def hold(task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
            with trio.CancelScope() as scope:
                try:
                    async with tr.open_context(portal, target, **kwargs) as (_, first):
                        task_status.started((scope, first))
                        await trio.sleep_forever()
                except PikerError as err:
                    log.warning("service task ended name=%s: %s", name, err)

        return await self.service_n.start(hold)

    # -- views ----------------------------------------------------------------

    def infos(self, addresses: dict[str, str] | None = None) -> list[ServiceInfo]:
        """Return all services as they are now, by name."""
        addresses = addresses or {}
        return [
            _info(self.service_tasks[name], addresses.get(name, ""))
            for name in sorted(self.service_tasks)
        ]

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[trio.MemoryReceiveChannel[ServiceEvent]]:
        """Yield a channel of all changes from now on; a slow reader loses the oldest."""
        send, receive = trio.open_memory_channel[ServiceEvent](1000)
        self._listeners.add(send)
        try:
            yield receive
        finally:
            self._listeners.discard(send)
            send.close()

    def _get(self, name: str) -> Service:
        try:
            return self.service_tasks[name]
        except KeyError:
            raise ServiceError(f"no daemon {name!r}; {self._who_runs()}") from None

    def _who_runs(self) -> str:
        return f"running: {', '.join(sorted(self.service_tasks)) or 'none'}"

    # -- supervision ----------------------------------------------------------

    def _set(
        self,
        service: Service,
        event: Event,
        *,
        reason: str = "",
        traceback: str = "",
        exit_code: int | None = None,
    ) -> None:
        """Apply *event*; tell everybody if it changed the state."""
        state = next_state(service.state, event)
        if state == service.state:
            return
        service.state, service.reason = state, reason
        told = ServiceEvent(
            name=service.spec.name,
            state=state,
            time_ns=time.time_ns(),
            pid=service.child.pid if service.child else -1,
            exit_code=exit_code,
            reason=reason,
            traceback=traceback,
            restarts=service.restarts,
        )
        self.history.append(told)
        for listener in self._listeners:
            try:
                listener.send_nowait(told)
            except trio.WouldBlock:
                log.warning("a listener of service events is too slow")
        level = log.warning if state in ("backoff", "quarantined") else log.info
        level("service %s is %s %s", service.spec.name, state, reason)
        service.changed.set()
        service.changed = trio.Event()

    async def _supervise(self, service: Service) -> None:
        """Run one daemon again and again, as the policy says."""
        while True:
            death = await self._run_once(service)
            if death.finished or death.refusal is not None:
                self._remove(service, death)
                return
            if service.state == "stopping":
                self._set(service, "died", reason=service.reason)
            else:
                await self._back_off(service, death)
            while not service.may_start:
                await service.wake.wait()
                service.wake = trio.Event()
            service.forced = False
            service.wake = trio.Event()
            service.restarts += 1
            self._set(service, "retry" if service.state == "backoff" else "restart")
            service.state = "starting"

    def _remove(self, service: Service, death: _Death) -> None:
        """Forget a daemon that ended by itself, or refused to run at all."""
        service.refusal = death.refusal
        service.wanted = False
        del self.service_tasks[service.spec.name]
        self._set(service, "stop")
        self._set(service, "ended", reason=death.reason, exit_code=death.exit_code)
        service.changed.set()

    async def _back_off(self, service: Service, death: _Death) -> None:
        """Wait as long as the policy says, or quarantine the daemon."""
        now = trio.current_time()
        uptime = now - service.up_at if service.was_up else 0.0
        delay = service.backoff.died(now, uptime)
        self._set(
            service,
            "died",
            reason=death.reason,
            traceback=death.traceback,
            exit_code=death.exit_code,
        )
        if delay is None:
            count = len(service.backoff.deaths)
            self._set(
                service,
                "exhausted",
                reason=f"died {count} times in {self.policy.window_s:g} s, last: "
                f"{death.reason}",
                traceback=death.traceback,
                exit_code=death.exit_code,
            )
            return
        with trio.move_on_after(delay):
            await service.wake.wait()

    async def _run_once(self, service: Service) -> _Death:
        """Start the daemon and stay until it is gone; never raises for its faults."""
        spec = service.spec
        service.run_scope = trio.CancelScope()
        service.was_up = False
        child: tr.Child | None = None
        error: BaseException | None = None
        finished = False
        with service.run_scope:
            try:
                async with tr.open_child(
                    spec.name, enable_modules=spec.enable_modules, **spec.spawn_kwargs
                ) as child:
                    service.child = child
                    finished = await self._live(service, child)
            except PikerError as err:
                error = err
        return await self._post_mortem(service, child, error, finished=finished)

    async def _live(self, service: Service, child: tr.Child) -> bool:
        """Hold the lifetime context; True if the daemon ended it by itself."""
        spec = service.spec
        async with tr.open_context(
            child.portal, spec.setup, **spec.setup_kwargs
        ) as (ctx, _):
            service.up_at, service.was_up = trio.current_time(), True
            service.proc = _process(child.pid)
            self._set(service, "up")
            pulse = Pulse(self.policy)
            async with ctx.open_stream() as beats, trio.open_nursery() as tasks:
                tasks.start_soon(self._watch_pulse, service, pulse, child)
                async for _ in beats:
                    pulse.beat()
                    self._set(service, "beat")
                tasks.cancel_scope.cancel()
        return True

    async def _watch_pulse(
        self, service: Service, pulse: Pulse, child: tr.Child
    ) -> None:
        while True:
            await trio.sleep(self.policy.beat_s)
            verdict = pulse.tick()
            if verdict != "ok":
                self._set(
                    service, "missed", reason=f"no heartbeat for {pulse.missed} s"
                )
            if verdict == "kill":
                log.error("killing %s: it is wedged", service.spec.name)
                child.kill()
                return

    async def _post_mortem(
        self,
        service: Service,
        child: tr.Child | None,
        error: BaseException | None,
        *,
        finished: bool,
    ) -> _Death:
        code = child.exit_code if child is not None else None
        silent = service.state == "unresponsive"
        if error is None:
            return _Death(code, "it ended by itself", finished=finished)
        refused = not isinstance(error, TransportClosed | ServiceError)
        text = str(error) if refused or child is None else _exit_text(code)
        if silent:
            text = f"it was wedged ({service.reason}) and killed"
        return _Death(
            code,
            text,
            tr.remote_traceback(error),
            refusal=error
            if refused
            and not service.was_up
            and not service.restarts
            and isinstance(error, PikerError)
            else None,
        )

    async def close(self) -> None:
        """End all daemons in order, bounded."""
        self._closing = True
        ranks = sorted({teardown_rank(name) for name in self.service_tasks})
        with trio.move_on_after(TEARDOWN_DEADLINE_S) as scope:
            scope.shield = True  # ordered teardown under a cancel, hence the deadline
            for rank in ranks:
                names = [n for n in self.service_tasks if teardown_rank(n) == rank]
                async with trio.open_nursery() as tasks:
                    for name in names:
                        tasks.start_soon(self.cancel_service, name)
        self.service_n.cancel_scope.cancel()


def _exit_text(code: int | None) -> str:
    if code is None:
        return "it broke its connection"
    return f"it was killed by signal {-code}" if code < 0 else f"it exited with {code}"


def _process(pid: int) -> psutil.Process | None:
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


def _info(service: Service, address: str) -> ServiceInfo:
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
    )


# -- the one table of this process --------------------------------------------

_services: Services | None = None


def current_services() -> Services:
    """Return this process's table of daemons; ServiceError where there is none."""
    if _services is None:
        raise ServiceError("this process supervises no daemons: it is not pikerd")
    return _services


def has_services() -> bool:
    """Tell whether this process supervises daemons."""
    return _services is not None


@asynccontextmanager
async def open_services(policy: Policy | None = None) -> AsyncIterator[Services]:
    """Supervise daemons in this process until the block ends; then end them in order."""
    global _services  # noqa: PLW0603 - one table per process
    async with tr.collapse_eg(), trio.open_nursery() as nursery:
        services = _services = Services(nursery, policy)
        try:
            yield services
        finally:
            await services.close()
            _services = None
