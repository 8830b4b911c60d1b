"""Who asks the emulated Deribit, and how often: tokens and credits.

    public/auth {"grant_type": "client_credentials", ...} --> access and refresh tokens
    HTTP: Authorization: Bearer TOKEN | Basic ... | deri-hmac-sha256 id=..,ts=..,sig=..

By https://docs.deribit.com/articles/authentication, .../access-scope and
https://docs.deribit.com/articles/rate-limits: each request costs credits, which come
back with time; who has none left gets a 10028, and the connection is ended.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any, Final

import trio

from ._accounts import Account, Accounts
from ._deribit_said import Said, one_of, text

_LIFE_S: Final = 31_536_000
_GRANTS: Final = ("client_credentials", "client_signature", "refresh_token")
_ENGINE: Final = frozenset(
    f"private/{name}"
    for name in (
        "buy", "sell", "edit", "edit_by_label", "cancel", "cancel_by_label",
        "cancel_all", "cancel_all_by_currency", "cancel_all_by_instrument",
        "close_position",
    )
)  # fmt: skip
#: Requests at once, and back in a second.
_LIMITS: Final = {
    "engine": (20, 5.0), "subscribe": (10, 10 / 3), "instruments": (5, 0.1),
    "other": (100, 20.0),
}  # fmt: skip


@dataclass(frozen=True)
class Token:
    """What an account may do, and until when.

    Attributes:
      account: whose.
      scope: words, e.g. ``trade:read_write``.
      until: on trio's clock.
      session: the connection that it is for, None for any.
      refresh: its other half.
    """

    account: Account
    scope: str
    until: float
    session: object | None
    refresh: str

    def allows(self, what: str) -> bool:
        """Tell whether something like ``trade:read_write`` is in its scope."""
        subject, _, access = what.partition(":")
        held = {one.partition(":")[0]: one.partition(":")[2]
                for one in self.scope.split()}  # fmt: skip
        return held.get(subject) in ({access, "read_write"})


class Tokens:
    """All tokens there are.

    Attributes:
      early_s: how long the next one lives, whatever is said; None: as it is said.
    """

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._access: dict[str, Token] = {}
        self._refresh: dict[str, Token] = {}
        self.early_s: float | None = None

    def authenticate(
        self, params: dict[str, Any], session: object | None
    ) -> tuple[Token, dict[str, Any]]:
        """Return a new token, and what is told of it; raises Said."""
        grant = one_of(params, "grant_type", _GRANTS)
        if grant == "refresh_token":
            old = self._refresh.pop(text(params, "refresh_token"), None)
            if old is None or old.account.key not in self._accounts.keys:
                raise Said(13009, "invalid_token", {"reason": "invalid_token"})
            return self._issue(old.account, old.scope, params, session)
        account = self._accounts.keys.get(text(params, "client_id"))
        if account is None or not _is_proven(account, grant, params):
            raise Said(13004, "invalid_credentials")
        return self._issue(account, _scope(account, params), params, session)

    def _issue(
        self, account: Account, scope: str, params: dict[str, Any],
        session: object | None,
    ) -> tuple[Token, dict[str, Any]]:  # fmt: skip
        life_s = _LIFE_S
        for word in scope.split():
            if word.startswith("expires:") and word[8:].isdigit():
                life_s = min(life_s, int(word[8:]))
        early, self.early_s = self.early_s, None
        until = trio.current_time() + (life_s if early is None else early)
        is_bound = "session:" not in scope and session is not None
        key, refresh = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
        token = Token(account, scope, until, session if is_bound else None, refresh)
        self._access[key] = self._refresh[refresh] = token
        told = {
            "access_token": key, "refresh_token": refresh, "expires_in": life_s,
            "scope": scope, "token_type": "bearer", "enabled_features": [],
            "sid": secrets.token_urlsafe(6),
        }  # fmt: skip
        if isinstance(params.get("state"), str):
            told["state"] = params["state"]
        return token, told

    def find(self, key: str, session: object | None) -> Token:
        """Return the token of that text; raises Said if it isn't valid there."""
        token = self._access.get(key)
        if token is None or token.session not in (None, session):
            raise Said(13009, "unauthorized", {"reason": "invalid_token"})
        return self.check(token)

    def check(self, token: Token) -> Token:
        """Return a token that is still valid; raises Said."""
        if trio.current_time() >= token.until:
            raise Said(13009, "unauthorized", {"reason": "token_expired"})
        if token.account.key not in self._accounts.keys:
            raise Said(13009, "unauthorized", {"reason": "invalid_token"})
        return token

    def expire(self, name: str) -> None:
        """Have all access tokens of an account have ended; they can be refreshed."""
        for key in [k for k, v in self._access.items() if v.account.name == name]:
            del self._access[key]

    def is_known(self, token: Token) -> bool:
        """Tell whether a token wasn't ended before its time."""
        return token in self._access.values()

    def of_header(self, header: str, line: str, body: bytes) -> Token:
        """Return what an Authorization header stands for; raises Said.

        Args:
          header: its value.
          line: method and path with query, a line each.
          body: of the request.
        """
        scheme, _, rest = header.partition(" ")
        match scheme.lower():
            case "bearer":
                return self.find(rest.strip(), None)
            case "basic":
                key, _, secret = _decoded(rest).partition(":")
                found = {"grant_type": _GRANTS[0], "client_id": key,
                         "client_secret": secret}  # fmt: skip
                return self.authenticate(found, None)[0]
            case "deri-hmac-sha256":
                return self._signed(rest, line, body)
        raise Said(13009, "unauthorized", {"reason": "invalid_token"})

    def _signed(self, told: str, line: str, body: bytes) -> Token:
        parts = dict(part.strip().split("=", 1) for part in told.split(",")
                     if "=" in part)  # fmt: skip
        account = self._accounts.keys.get(parts.get("id", ""))
        payload = f"{parts.get('ts')}\n{parts.get('nonce')}\n{line}\n".encode()
        if account is None or not _is_signed(
            account, payload + body + b"\n", parts.get("sig", "")
        ):
            raise Said(13004, "invalid_credentials")
        return self._issue(account, _scope(account, {}), {}, None)[0]


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return ""


def _is_proven(account: Account, grant: str, params: dict[str, Any]) -> bool:
    if grant == "client_credentials":
        return hmac.compare_digest(account.secret, text(params, "client_secret"))
    parts = (str(params.get("timestamp")), str(params.get("nonce", "")),
             str(params.get("data", "")))  # fmt: skip
    return _is_signed(account, "\n".join(parts).encode(), text(params, "signature"))


def _is_signed(account: Account, payload: bytes, signature: str) -> bool:
    wanted = hmac.new(account.secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, signature)


def _scope(account: Account, params: dict[str, Any]) -> str:
    """Return what of the asked scope the key has; all of it if nothing is asked."""
    limits = {
        "account": "read_write", "trade": "read_write" if account.may_trade else "read",
        "wallet": "read_write" if account.may_withdraw else "read",
    }  # fmt: skip
    asked = text(params, "scope", "").split()
    found = [one for one in asked if one.partition(":")[0] not in limits]
    if not any(one.startswith("session:") for one in found):
        found.append("connection")
    wanted = {one.partition(":")[0]: one.partition(":")[2] for one in asked}
    for subject, most in limits.items():
        access = wanted.get(subject, most if subject not in wanted else "none")
        if access != "none":
            least = "read" if "read" in (access, most) else most
            found.append(f"{subject}:{least}")
    return " ".join(dict.fromkeys([*found, "mainaccount"]))


class Credits:
    """What each who asks may still ask for.

    Args:
      budget: requests at once, None for what is documented.
    """

    def __init__(self, budget: int | None) -> None:
        self._budget = budget
        self._left: dict[tuple[str, str], tuple[float, float]] = {}

    def take(self, who: str, method: str) -> bool:
        """Count a request of somebody; False if there were too many."""
        kind = _kind_of(method)
        most, back_s = _LIMITS[kind]
        if self._budget is not None:
            most, back_s = self._budget, self._budget / 5
        now = trio.current_time()
        left, since = self._left.get((who, kind), (float(most), now))
        left = min(float(most), left + (now - since) * back_s)
        self._left[who, kind] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def _kind_of(method: str) -> str:
    if method in _ENGINE:
        return "engine"
    if method.endswith(("/subscribe", "/unsubscribe")):
        return "subscribe"
    return "instruments" if method == "public/get_instruments" else "other"
