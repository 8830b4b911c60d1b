"""What tests, of piker and of code built on it, may use."""

from ._conformance import (
    CHECKS as CHECKS,
    BackendCase as BackendCase,
    check_backend as check_backend,
)
from ._tree import (
    LeakError as LeakError,
    TestTree as TestTree,
    end_test_pikerd as end_test_pikerd,
    free_port as free_port,
    is_alive as is_alive,
    open_test_pikerd as open_test_pikerd,
    private_dirs as private_dirs,
    start_test_pikerd as start_test_pikerd,
    tree_processes as tree_processes,
    wait_gone as wait_gone,
)
