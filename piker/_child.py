"""What a daemon's process runs: tractor's own start, with a light start and end."""

from __future__ import annotations

import runpy

from piker.process import light_run

#: Of tractor, for the processes it starts.
TRACTORS_OWN = "tractor._child"


def run_child() -> None:
    """Be a daemon by the command line in ``sys.argv``; ends this process."""
    with light_run():
        runpy.run_module(TRACTORS_OWN, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_child()
