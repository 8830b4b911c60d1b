"""What live accounts of all venues share: secrets, orders, what became of them.

_secrets     keys, read in brokerd alone      _client_ids  an order's id at its venue
_venue       what a backend's session does    _reconcile   our orders against theirs
_desk        one account: requests in, what happened out, the ledger between
_books       what is booked of it             _known_orders  its orders, by their ids
_dialog      a backend's ``open_trade_dialog``
"""
