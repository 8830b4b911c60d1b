"""Processes: a tree of supervised daemon-actors, and how to reach them.

The rest of piker builds on these names; ``_tractor`` is the seam underneath.
"""

from piker._forkserver import is_fork_server as is_fork_server
from piker.process import be_started as _be_started

from ._tractor import (  # isort: skip - first: it silences tractor
    Addr as Addr,
    Context as Context,
    EndpointSpec as EndpointSpec,
    MsgStream as MsgStream,
    Portal as Portal,
    async_lifo_cache as async_lifo_cache,
    call_endpoint as call_endpoint,
    collapse_eg as collapse_eg,
    current_actor as current_actor,
    encode as encode,
    endpoint as endpoint,
    exit_by as exit_by,
    gather_contexts as gather_contexts,
    leaves as leaves,
    maybe_open_context as maybe_open_context,
    on_call as _on_call,
    open_channel_from as open_channel_from,
    open_context as open_context,
    open_portal_to as open_portal_to,
    piker_vars as piker_vars,
    probe as probe,
    registry_addr as registry_addr,
    uid_of as uid_of,
    wait_for_actor as wait_for_actor,
    wrap_address as wrap_address,
)
from ._address import running_info as running_info
from ._daemon import Found as Found, maybe_spawn_daemon as maybe_spawn_daemon
from ._hold import hold_pikerd as hold_pikerd
from ._lifetime import (
    adopt_tree_vars as _adopt_tree_vars,
    daemon_life as daemon_life,
    setup_actor_log as setup_actor_log,
)
from ._mngr import (
    Service as Service,
    Services as Services,
    current_services as current_services,
    has_services as has_services,
    open_services as open_services,
)
from ._pikerd import Pikerd as Pikerd, current_pikerd as current_pikerd
from ._policy import Policy as Policy
from ._registry import (
    check_for_service as check_for_service,
    find_service as find_service,
    find_services as find_services,
)
from ._runtime import (
    fork_daemons_off_me as fork_daemons_off_me,
    maybe_open_pikerd as maybe_open_pikerd,
    open_fork_server as open_fork_server,
    open_piker_runtime as open_piker_runtime,
    open_pikerd as open_pikerd,
    run_pikerd as run_pikerd,
    start_pikerd as start_pikerd,
)
from ._spec import (
    PIKERD_MODULES as PIKERD_MODULES,
    SPAWNERS as SPAWNERS,
    DaemonSpec as DaemonSpec,
    kind_of as kind_of,
)
from ._tree import (
    publish_once as publish_once,
    shm_dir as shm_dir,
    stale_folders as stale_folders,
    sweep as sweep,
)

_on_call(_adopt_tree_vars)
_on_call(_be_started)
