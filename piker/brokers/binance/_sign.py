"""How requests to Binance are signed: HMAC-SHA256 of the parameters, in hex.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security and
.../websocket-api/request-security: REST signs the query as it is sent, encoded; the
websocket API the parameters in alphabetical order, not encoded.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from piker.brokers._live._secrets import Keys, Secret


def signature(secret: Secret, payload: str) -> str:
    """Return the signature of a payload, hex digits."""
    return hmac.new(
        secret.reveal().encode(), payload.encode(), hashlib.sha256
    ).hexdigest()


def signed_query(keys: Keys, params: Mapping[str, str | int]) -> str:
    """Return the query of a request of REST, its signature last."""
    query = urlencode(params)
    return f"{query}&signature={signature(keys.secret, query)}"


def signed_params(keys: Keys, params: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return parameters of the websocket API, with the key and the signature."""
    told = {"apiKey": keys.key.reveal(), **params}
    payload = "&".join(f"{name}={told[name]}" for name in sorted(told))
    return {**told, "signature": signature(keys.secret, payload)}
