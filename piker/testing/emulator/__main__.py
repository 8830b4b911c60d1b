"""``python -m piker.testing.emulator VENUE``: an emulated venue."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import VENUES


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m piker.testing.emulator",
        description="Emulate a venue on the loopback; faults by POST /_emulator/fault.",
    )
    add = parser.add_argument
    add("venue", choices=VENUES)
    add(
        "--session",
        action="append",
        type=Path,
        metavar="FILE",
        dest="sessions",
        default=[],
        help="play a recorded session; may be repeated",
    )
    add("--sim", nargs="+", metavar="FQME", default=[], help="play sim, as time goes")
    add("--speed", type=float, default=1.0, help="of a session; 0: as clients read")
    add("--port", type=int, default=0, help="of 127.0.0.1; 0: any")
    add("--past-s", type=float, help="how much of the tape passed before the start")
    add("--history-s", type=float, default=0.0, help="of sim's bars before the tape")
    add("--streams", type=int, default=1, help="subscribed when it starts; 0: at once")
    add("--made-up", type=int, default=0, metavar="N", help="list N markets more")
    add("--budget", type=int, help="of requests, not the documented one")
    add("--hours", choices=("always", "usual"), default="always", help="of tws")
    add("--ping-s", type=float, help="between pings, not the documented time")
    add(
        "--fault",
        action="append",
        metavar="JSON",
        dest="faults",
        default=[],
        help='e.g. \'{"kind":"latency","ms":50}\'; may be repeated',
    )
    return parser


def main() -> int:
    """Serve as the command line says; return the exit code."""
    args = _parser().parse_args()

    import trio

    from piker.errors import PikerError

    from ._run import Options, serve

    try:
        return trio.run(serve, Options(**vars(args)))
    except PikerError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
