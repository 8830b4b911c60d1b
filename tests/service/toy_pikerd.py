"""The real ``pikerd`` command, with one more kind of daemon: toys."""

from __future__ import annotations

if __name__ == "__main__":
    from piker.cli.pikerd import main
    from piker.service import SPAWNERS

    SPAWNERS["toyd"] = "tests.service.toyd:spawn_toyd"
    main()
