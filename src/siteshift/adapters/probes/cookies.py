"""The cookies of one run of a journey (RFC 6265, sections 5.2 to 5.4): sent back as they were received."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from siteshift.adapters import wire

MAX_COOKIES = 64
"""RFC 6265 section 6.1 asks for at least 50 a domain; the oldest go first."""

MAX_COOKIE_CHARACTERS = 4_096
MAX_DATE_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cookie:
    value: str
    host: str
    is_host_only: bool
    path: str
    is_secure: bool

    def goes_to(self, scheme: str, host: str, path: str) -> bool:
        is_below = path == self.path or path.startswith(self.path if self.path.endswith("/") else self.path + "/")
        is_host = host == self.host or (not self.is_host_only and host.endswith("." + self.host))
        return is_host and is_below and (scheme == "https" or not self.is_secure)


class Cookies:
    """What servers set, and what to send to which of them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, str], _Cookie] = {}

    def take(self, set_cookie: str, host: str, path: str, now: datetime) -> None:
        """One Set-Cookie header of a reply from ``host`` to a request of ``path``. What cannot be read is ignored."""
        pair, *attributes = set_cookie.split(";")
        name, equals, value = pair.partition("=")
        name, value = name.strip(" \t"), value.strip(" \t")
        if not equals or not name or len(pair) > MAX_COOKIE_CHARACTERS:
            return
        said = {key.strip(" \t").lower(): text.strip(" \t") for key, _, text in (part.partition("=") for part in attributes)}
        domain = said.get("domain", "").lower().removeprefix(".")
        if domain and host != domain and not host.endswith("." + domain):
            return
        where = said.get("path", "")
        cookie = _Cookie(
            value=value,
            host=domain or host,
            is_host_only=not domain,
            path=where if where.startswith("/") else path.rpartition("/")[0] or "/",
            is_secure="secure" in said,
        )
        key = (name, cookie.host, cookie.path)
        self._kept.pop(key, None)
        if not _is_over(said, now):
            self._kept[key] = cookie
        while len(self._kept) > MAX_COOKIES:
            del self._kept[next(iter(self._kept))]

    def header(self, scheme: str, host: str, path: str) -> str:
        """The Cookie header of a request; empty when there is nothing to send."""
        fitting = [(key[0], cookie) for key, cookie in self._kept.items() if cookie.goes_to(scheme, host, path)]
        fitting.sort(key=lambda found: -len(found[1].path))
        return "; ".join(f"{name}={cookie.value}" for name, cookie in fitting)


def _is_over(said: dict[str, str], now: datetime) -> bool:
    """Whether this takes the cookie away: Max-Age wins over Expires, and what cannot be read says nothing."""
    if age := said.get("max-age"):
        try:
            return wire.signed_decimal(age) <= 0
        except wire.BadWire:
            return False
    date = said.get("expires", "")
    if not date or len(date) > MAX_DATE_CHARACTERS:
        return False
    try:
        ends = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return (ends if ends.tzinfo else ends.replace(tzinfo=UTC)) <= now
