"""Standby drivers: what brings a standby member into service and back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from siteshift.config.fields import (
    Endpoint,
    HeaderValue,
    Identifier,
    PlainHeaderName,
    Secret,
    Strict,
    Text,
    Url,
)

Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class DriverCommon(Strict):
    """What all drivers have."""

    id: Identifier = Field(examples=["lb-standby"])
    timeout_ms: Annotated[int, Field(ge=100, le=3_600_000)] = 10_000
    """How long one call may take; the deadline of readiness is `policy.standby_deadline_s`."""
    site: str | None = None
    """The site the driver depends on, if it lives in one (law 17)."""


class HaproxyServerDriver(DriverCommon):
    """A member that runs and waits behind HAProxy, set `maint` until it is needed."""

    kind: Literal["haproxy_server"]
    addresses: Annotated[tuple[Endpoint, ...], Field(min_length=1)] = Field(examples=[["unix:/run/haproxy/admin.sock"]])
    """The runtime API of each HAProxy that has the member."""
    backend: Text = Field(examples=["be_{service}"])
    """The backend; `{service}` and `{site}` are filled in."""
    server_pattern: Text = "{site}-{name}"
    """The server; `{site}`, `{name}` and `{service}` are filled in."""


class HttpHookDriver(DriverCommon):
    """A service that starts servers when asked by HTTP.

    In URLs `{member}` (`service/site/name`), `{service}`, `{site}`, `{name}`, `{address}` and `{port}` are filled in.
    """

    kind: Literal["http_hook"]
    activate_url: Url = Field(examples=["https://standby.example.com/start?member={member}"])
    retire_url: Url = Field(examples=["https://standby.example.com/stop?member={member}"])
    phase_url: Url = Field(examples=["https://standby.example.com/phase?member={member}"])
    """Asked by GET; answers `cold`, `starting`, `ready` or `failed` (the others are asked by POST)."""
    headers: dict[PlainHeaderName, HeaderValue] = Field(default={})
    token: Secret | None = None
    """Sent as a bearer token."""


class CommandHookDriver(DriverCommon):
    """Programs. `{member}`, `{service}`, `{site}`, `{name}`, `{address}` and `{port}` are filled in."""

    kind: Literal["command_hook"]
    activate: Argv = Field(examples=[["/usr/local/bin/standby", "start", "{member}"]])
    retire: Argv = Field(examples=[["/usr/local/bin/standby", "stop", "{member}"]])
    phase: Argv = Field(examples=[["/usr/local/bin/standby", "phase", "{member}"]])
    """Ends with 0 when the member is ready, 3 when it is cold, 75 while it starts; anything else: it failed."""


DriverEntry = Annotated[HaproxyServerDriver | HttpHookDriver | CommandHookDriver, Field(discriminator="kind")]
