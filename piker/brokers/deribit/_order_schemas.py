"""Wire types of Deribit's orders, trades and accounts; only what is used."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Granted(Struct, frozen=True):
    """What ``public/auth`` is answered with.

    ``{"access_token": "...", "expires_in": 900, "refresh_token": "...", "scope":
    "connection mainaccount trade:read_write", "token_type": "bearer"}``

    https://docs.deribit.com/api-reference/authentication/public-auth

    Attributes:
      expires_in: seconds.
    """

    access_token: str
    expires_in: Annotated[float, Meta(ge=0)]
    refresh_token: str = ""
    scope: str = ""
