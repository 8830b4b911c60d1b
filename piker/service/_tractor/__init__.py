"""The seam over tractor: the only code that knows its version and private parts.

The rest of the package sees one set of names with tractor main's semantics, and what
neither version has: liveness, deadlines, true discovery, typed payloads, a cookie,
children that neither outlive their parent nor take it down.
"""

from ._version import A5 as A5  # first: it silences tractor

from ._actors import (  # isort: skip
    Child as Child,
    open_child as open_child,
    open_root_actor as open_root_actor,
    sigterm_cancels as sigterm_cancels,
    sweep_contexts as sweep_contexts,
)
from ._aio import (
    infect as infect,
    open_channel_from as open_channel_from,
    run_infected as run_infected,
)
from ._context import (
    Context as Context,
    EndpointSpec as EndpointSpec,
    MsgStream as MsgStream,
    call_endpoint as call_endpoint,
    endpoint as endpoint,
    on_call as on_call,
    open_context as open_context,
)
from ._discovery import (
    Address as Address,
    evict as evict,
    find_actor as find_actor,
    find_actors as find_actors,
    open_portal_to as open_portal_to,
    probe as probe,
    query_actor as query_actor,
    register_self as register_self,
    registered as registered,
    wait_for_actor as wait_for_actor,
    wrap_address as wrap_address,
)
from ._engine import Addr as Addr, Uid as Uid, engine as _engine
from ._errors import (
    PeerGone as PeerGone,
    remote_traceback as remote_traceback,
    unbox as unbox,
)
from ._fork import open_fork_server as open_fork_server
from ._guard import exit_by as exit_by, in_child as in_child
from ._payload import decode as decode, encode as encode
from ._peers import abort as abort, is_gone as is_gone, wait_gone as wait_gone
from ._trionics import (
    async_lifo_cache as async_lifo_cache,
    collapse_eg as collapse_eg,
    gather_contexts as gather_contexts,
    leaves as leaves,
    maybe_open_context as maybe_open_context,
)
from ._vars import piker_vars as piker_vars, write_cookie as write_cookie

from tractor import Portal as Portal  # isort: skip

current_actor = _engine.current_actor
local_registry = _engine.local_registry
own_addr = _engine.own_addr
registry_addr = _engine.registry_addr
uid_of = _engine.uid_of
