"""``Services``: the daemons of this process, supervised one for one.

    start_actor(spec) -> [supervisor task: scope -> process -> lifetime context]
                          dies alone, is started again by the policy

Only who holds a ``Services`` restarts anything; clients wait.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import trio

from piker.errors import (
    PikerError,
    ServiceError,
    ServiceQuarantined,
    ServiceStopped,
)
from piker.log import get_logger
from piker.msgs import ServiceEvent, ServiceInfo

from . import _tractor as tr
from ._events import Events
from ._policy import Backoff, Event, Policy, next_state
from ._run import run_once
from ._service import Death, Service as Service, service_info
from ._spec import DaemonSpec, kind_of, teardown_rank

log = get_logger(__name__)

#: A daemon that was told to end is killed after so long.
STOP_DEADLINE_S = 3.0
#: All of them together; then the rest is killed.
TEARDOWN_DEADLINE_S = 4.0


class Services:
    """The daemons this process supervises, by name."""

    def __init__(
        self,
        nursery: trio.Nursery,
        policy: Policy | None = None,
        kinds: frozenset[str] | None = None,
    ) -> None:
        """Supervise in *nursery*; *kinds* of daemons only, all of them by default."""
        self.service_n = nursery
        self.policy = policy or Policy()
        self.kinds = kinds
        self.service_tasks: dict[str, Service] = {}
        self.locks: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._events = Events()
        self._closing = False

    @property
    def actor_n(self) -> Services:
        """Where actors are started; each has a scope of its own, none shared."""
        return self

    def owns(self, name: str) -> bool:
        """Tell whether the daemon *name* is one of this table's."""
        return self.kinds is None or kind_of(name) in self.kinds

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
        self._check_open()
        service = Service(spec, Backoff(self.policy))
        self.service_tasks[spec.name] = service
        self.service_n.start_soon(self._supervise, service)
        return await self.wait_up(spec.name)

    async def wait_up(self, name: str) -> Service:
        """Return the service once it is running; raises what keeps it from it."""
        service = self._get(name)
        while True:
            self._check_kept(service)
            if service.state in ("running", "unresponsive"):
                return service
            if service.state == "quarantined":
                raise ServiceQuarantined(
                    f"{name!r} is quarantined: {service.reason}; "
                    f"`piker services restart {name}` tries again"
                )
            await service.changed.wait()

    async def restart(self, name: str) -> Service:
        """Restart *name*, whatever its state; return once it is up.

        Raises what :meth:`wait_up` raises; ServiceStopped if it is stopped meanwhile.
        """
        service = self._get(name)
        self._check_open()
        service.wanted = service.forced = True
        service.backoff.forgive()
        before = service.restarts
        if service.state in ("starting", "running", "unresponsive"):
            self._set(service, "restart", reason="restart by command")
        await self._end_run(service, lambda: service.restarts != before)
        self._check_kept(service)
        return await self.wait_up(name)

    async def cancel_service(self, name: str, why: str = "stopped by command") -> None:
        """Stop *name* and keep it stopped until it is restarted by command.

        A daemon that doesn't end within ``STOP_DEADLINE_S`` is killed.
        """
        service = self._get(name)
        service.wanted = service.forced = False
        self._set(service, "stop", reason=why)
        await self._end_run(service, lambda: service.state == "stopped")

    async def _end_run(self, service: Service, done: Callable[[], bool]) -> None:
        """End the run there is, by SIGKILL if it doesn't let go; wait until *done*.

        Also returns once another command has overridden this one.
        """
        wanted = service.wanted
        service.run_scope.cancel()
        service.wake.set()

        async def settle() -> None:
            while not done() and service.wanted is wanted and self._has(service):
                await service.changed.wait()

        with trio.move_on_after(STOP_DEADLINE_S) as scope:
            await settle()
        if scope.cancelled_caught:
            log.error("killing %s: it doesn't end", service.spec.name)
            if service.child is not None:
                service.child.kill()
            await settle()

    def _check_open(self) -> None:
        if self._closing:
            raise ServiceError("pikerd is ending")

    def _has(self, service: Service) -> bool:
        return self.service_tasks.get(service.spec.name) is service

    def _check_kept(self, service: Service) -> None:
        """Raise what keeps *service* from ever being up, as things stand."""
        name = service.spec.name
        if service.refusal is not None:
            raise service.refusal
        if not self._has(service):
            raise ServiceError(f"daemon {name!r} ended: {service.reason}")
        if not service.wanted:
            self._check_open()
            raise ServiceStopped(
                f"{name!r} was stopped by command; "
                f"`piker services restart {name}` starts it"
            )

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
            service_info(self.service_tasks[name], addresses.get(name, ""))
            for name in sorted(self.service_tasks)
        ]

    def subscribe(
        self,
    ) -> AbstractAsyncContextManager[trio.MemoryReceiveChannel[ServiceEvent]]:
        """Yield a channel of all changes to come; a slow reader loses the oldest."""
        return self._events.subscribe()

    @property
    def history(self) -> list[ServiceEvent]:
        """The last changes, oldest first."""
        return list(self._events.history)

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
        self._events.tell(told)
        level = log.warning if state in ("backoff", "quarantined") else log.info
        level("service %s is %s %s", service.spec.name, state, reason)
        service.changed.set()
        service.changed = trio.Event()

    async def _supervise(self, service: Service) -> None:
        """Run one daemon again and again, as the policy says."""
        while True:
            death = await run_once(service, self.policy, self._set)
            if death.finished or death.refusal is not None:
                self._remove(service, death)
                return
            if service.state == "stopping":
                self._set(
                    service, "died", reason=service.reason, exit_code=death.exit_code
                )
            else:
                await self._back_off(service, death)
            while not service.may_start:
                await service.wake.wait()
                service.wake = trio.Event()
            self._set_off(service)

    def _set_off(self, service: Service) -> None:
        """Begin another run."""
        why = "restart by command" if service.forced else service.reason
        event: Event = "retry" if service.state == "backoff" else "restart"
        service.forced = False
        service.wake = trio.Event()
        service.child = None
        service.run_scope = trio.CancelScope()  # here: a stop may come before it runs
        service.restarts += 1
        self._set(service, event, reason=why)

    def _remove(self, service: Service, death: Death) -> None:
        """Forget a daemon that ended by itself, or refused to run at all."""
        service.refusal = death.refusal
        del self.service_tasks[service.spec.name]
        self._set(
            service,
            "ended",
            reason=death.reason,
            traceback=death.traceback,
            exit_code=death.exit_code,
        )

    async def _back_off(self, service: Service, death: Death) -> None:
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
            self._set(
                service,
                "exhausted",
                reason=f"{service.backoff}, last: {death.reason}",
                traceback=death.traceback,
                exit_code=death.exit_code,
            )
            return
        with trio.move_on_after(delay):
            await service.wake.wait()

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
                        tasks.start_soon(self._end, name)
        for service in self.service_tasks.values():
            if service.child is not None:
                service.child.kill()
        self.service_n.cancel_scope.cancel()

    async def _end(self, name: str) -> None:
        if name in self.service_tasks:  # else it ended by itself just now
            await self.cancel_service(name, "pikerd ends")


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
async def open_services(
    policy: Policy | None = None, kinds: frozenset[str] | None = None
) -> AsyncIterator[Services]:
    """Supervise daemons in this process until the block ends; then end them in order.

    Args:
      policy: of supervision; the tree's by default.
      kinds: of daemons that are this process's own; others are left to pikerd.
    """
    global _services  # noqa: PLW0603 - one table per process
    policy = policy or Policy.told(tr.piker_vars().get("policy"))
    async with tr.collapse_eg(), trio.open_nursery() as host:
        services: Services = await host.start(_host, policy, kinds)
        _services = services
        try:
            yield services
        finally:
            try:
                await services.close()
            finally:  # else the supervisors, out of any cancel's reach, stay for ever
                services.service_n.cancel_scope.cancel()
                _services = None


async def _host(
    policy: Policy | None,
    kinds: frozenset[str] | None,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold the supervisors out of reach of what cancels the block they serve.

    Else all daemons were cut off at once, in no order, instead of told to end.
    """
    # A cancel of before comes up here: behind the shield this task would stay in the
    # start(), of which no close() has heard.
    await trio.lowlevel.checkpoint_if_cancelled()
    with trio.CancelScope(shield=True):  # close() ends it, within a deadline
        async with trio.open_nursery() as nursery:
            task_status.started(Services(nursery, policy, kinds))
            await trio.sleep_forever()
