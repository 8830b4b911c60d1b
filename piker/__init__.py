"""piker: a self-hosted, broker-agnostic trading stack.

``piker.data`` has the feeds, ``piker.service`` the processes behind them,
``piker.accounting`` markets and their names, ``piker.msgs`` every struct that crosses
a process.
"""

__version__ = "0.1.0"
