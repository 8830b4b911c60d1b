"""How requests to Kraken's REST are signed: HMAC-SHA512 of path and form, in base64.

https://docs.kraken.com/api/docs/guides/spot-rest-auth: the path and the SHA-256 of the
nonce and the form as it is sent, by the secret, which is base64 itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlencode

from piker.brokers._live._secrets import Keys
from piker.errors import ConfigError


def signed_form(
    keys: Keys, path: str, nonce: int, params: Mapping[str, str | int]
) -> tuple[bytes, dict[str, str]]:
    """Return the form of a request, and its headers.

    Args:
      keys: of the account.
      path: of the URL, e.g. ``/0/private/Balance``.
      nonce: higher than any before.
      params: of the form, besides the nonce.

    Raises: ConfigError: the secret isn't base64.
    """
    form = urlencode({"nonce": nonce, **params})
    try:
        secret = base64.b64decode(keys.secret.reveal(), validate=True)
    except binascii.Error:
        raise ConfigError(
            "brokers.toml: a secret of kraken is base64, as the venue gives it: this"
            " one isn't"
        ) from None
    digest = hashlib.sha256(f"{nonce}{form}".encode()).digest()
    sign = hmac.new(secret, path.encode() + digest, hashlib.sha512).digest()
    headers = {
        "API-Key": keys.key.reveal(),
        "API-Sign": base64.b64encode(sign).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return form.encode(), headers
