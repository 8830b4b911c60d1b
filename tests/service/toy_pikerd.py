"""The real ``pikerd`` command, with one more kind of daemon: toys."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # else they stay ignored where the tests run under nohup or in a shell's background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    from piker.cli import pikerd_main
    from piker.service import SPAWNERS

    SPAWNERS["toyd"] = "tests.service.toyd:spawn_toyd"
    pikerd_main()
