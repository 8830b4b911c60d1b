"""What a daemon's process runs: tractor's own start, with a light start and end."""

from __future__ import annotations

import runpy

from piker.process import be_starting, leave

#: Of tractor, for the processes it starts.
TRACTORS_OWN = "tractor._child"


def main() -> None:
    """Be the child that the command line tells of."""
    be_starting()
    try:
        runpy.run_module(TRACTORS_OWN, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        leave(end.code)
    leave(0)


if __name__ == "__main__":
    main()
