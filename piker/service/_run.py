"""One run of a daemon: from its process's start to its end, watched all the way.

process -> lifetime context -> heartbeats     until it dies, hangs or is told to end
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Protocol

import trio

from piker import config
from piker.errors import PikerError, RegistryUnreachable
from piker.log import get_logger

from . import _tractor as tr
from ._policy import Event, Policy, Pulse
from ._registry import forget
from ._service import Death, Service, find_process, post_mortem

log = get_logger(__name__)

#: A daemon's last words are appended to those of its lives before, up to here.
MAX_STDERR_BYTES = 1_000_000


class Change(Protocol):
    """Applies an event to a service's state and tells everybody."""

    def __call__(self, service: Service, event: Event, *, reason: str = "") -> None:
        """Apply *event*."""


async def run_once(service: Service, policy: Policy, change: Change) -> Death:
    """Start the daemon and stay until it is gone; never raises for its faults."""
    spec = service.spec
    service.was_up, service.wedged, service.doing = False, "", ""
    error: Exception | None = None
    finished = False
    try:
        with service.run_scope:
            async with tr.open_child(
                spec.name,
                enable_modules=spec.enable_modules,
                stderr=_stderr_file(spec.name),
                spawns=spec.supervises,
                **spec.spawn_kwargs,
            ) as service.child:
                finished = await _live(service, service.child, policy, change)
    except PikerError as err:
        error = err
    except Exception as err:  # a fault around one daemon must not end the others
        log.exception("supervision of %s failed", spec.name)
        error = err
    with suppress(RegistryUnreachable):  # its list is gone with it
        await forget(spec.name)
    code = service.child.exit_code if service.child is not None else None
    return post_mortem(service, code, error, finished=finished)


def _stderr_file(name: str) -> Path | None:
    """Return where a daemon's last words go; None where they belong on our stderr."""
    if tr.piker_vars().get("log", {}).get("console"):
        return None
    folder = config.make_private(config.state_dir() / "log")
    path = folder / f"{name}.stderr"
    with suppress(FileNotFoundError):
        if path.stat().st_size > MAX_STDERR_BYTES:
            path.replace(folder / f"{name}.stderr.1")
    return path


async def _live(
    service: Service, child: tr.Child, policy: Policy, change: Change
) -> bool:
    """Hold the lifetime context; True if the daemon ended it by itself.

    It is watched until the context is left, not only while it beats: one that ends by
    itself has still to let go of what it holds, and may hang in that.
    """
    spec = service.spec
    async with tr.collapse_eg(), trio.open_nursery() as tasks:
        async with tr.open_context(child.portal, spec.setup, **spec.setup_kwargs) as (
            ctx,
            _,
        ):
            service.up_at, service.was_up = trio.current_time(), True
            service.proc = find_process(child.pid)
            change(service, "up")
            pulse = Pulse(policy)
            tasks.start_soon(_watch_pulse, service, child, pulse, change)
            async with ctx.open_stream() as beats:
                said: str | None
                async for said in beats:
                    service.doing = said or ""
                    pulse.beat()
                    change(service, "beat")
        tasks.cancel_scope.cancel()
    return True


async def _watch_pulse(
    service: Service, child: tr.Child, pulse: Pulse, change: Change
) -> None:
    """Kill the daemon once it was silent for too long."""
    while True:
        await trio.sleep(pulse.policy.beat_s)
        verdict = pulse.tick()
        if verdict == "ok":
            continue
        silence = f"no heartbeat for {pulse.missed * pulse.policy.beat_s:g} s"
        change(service, "missed", reason=silence)
        if verdict == "kill":
            service.wedged = silence
            log.error("killing %s: %s", service.spec.name, silence)
            child.kill()
            return
