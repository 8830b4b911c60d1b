"""The real ``pikerd`` command, with one more kind of daemon: toys."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # else a Ctrl-C stays ignored where a shell started the tests in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from piker.cli.pikerd import main
    from piker.service import SPAWNERS

    SPAWNERS["toyd"] = "tests.service.toyd:spawn_toyd"
    main()
