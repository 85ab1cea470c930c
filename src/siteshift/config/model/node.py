"""This node: who it is, where it stands, how it is reached, what it remembers and says."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from siteshift.config.fields import (
    NOT_SUPPORTED,
    AbsolutePath,
    Identifier,
    ListenAddress,
    OctalMode,
    Secret,
    Strict,
    refuse,
)
from siteshift.config.fields import Text as ShortText


class Role(StrEnum):
    """What a person or machine may do through the API; each includes those before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class NodeSection(Strict):
    """This node."""

    id: Identifier = Field(examples=["node-pangyo"])
    """The node's name; it is the vantage of its reports."""
    site: Identifier = Field(examples=["pangyo"])
    """The site the node stands in."""
    cluster: Identifier = "siteshift"
    """The installation: nodes that share one store name the same. Data planes carry it beside the generation, so that two
    controllers on one plane are told apart: give every installation its own."""
    state_dir: AbsolutePath = "/var/lib/siteshift"
    """Where the node keeps what it must remember."""


class UnixGrant(Strict):
    """Who may do what over the Unix socket, by the peer's credentials. Give `user` or `group`."""

    user: ShortText | None = None
    """A user's name or number."""
    group: ShortText | None = None
    """A group's name or number. For approvals its members count as the system lists them at start and reload."""
    role: Role = Field(examples=["operator"])
    """What they may do."""


class UnixApi(Strict):
    """The local API."""

    path: AbsolutePath = "/run/siteshift/api.sock"
    """The socket."""
    mode: OctalMode = "0660"
    """File mode of the socket."""
    grants: tuple[UnixGrant, ...] = ()
    """Roles by peer credentials; root and the node's own user are always `admin`."""


class TlsApi(Strict):
    """The API over TLS."""

    listen: ListenAddress = Field(examples=["0.0.0.0:8443"])
    """Address and port."""
    certificate_file: AbsolutePath = Field(examples=["/etc/siteshift/tls.crt"])
    """The server's certificate chain, PEM."""
    key: Secret = Field(examples=["file:/etc/siteshift/tls.key"])
    """The key, PEM; a file or a systemd credential."""
    client_ca_file: AbsolutePath | None = None
    """Authority of client certificates (mTLS); a certificate has the role of the token owner its common name says."""


class Token(Strict):
    """One bearer token."""

    owner: ShortText = Field(examples=["alice"])
    """The person or machine it belongs to; stands in the journal beside everything done with it."""
    role: Role = Field(examples=["viewer"])
    """What it permits."""
    secret: Secret = Field(examples=["file:/etc/siteshift/tokens/alice"])
    """Where the token is; at least 16 characters."""
    unix_user: ShortText | None = None
    """The Unix user of the same person, where it has another name: whoever signs in both ways is one person, so nobody approves
    by one what they asked for by the other."""


class ApiSection(Strict):
    """How people and machines talk to the node."""

    unix: UnixApi = UnixApi()
    tls: TlsApi | None = None
    """Absent: no TLS listener."""
    tokens: tuple[Token, ...] = ()


class SqliteStore(Strict):
    """The store of a single node: one file."""

    kind: Literal["sqlite"] = "sqlite"
    path: AbsolutePath | None = None
    """Default: `siteshift.db` in the state directory."""


def _no_etcd(_: str) -> str:
    refuse(NOT_SUPPORTED, "the shared store etcd is not part of this version", "write `kind: sqlite` (a single node)")


class EtcdStore(Strict):
    """Kept apart so that the refusal can be clear; the shared store is not part of this version."""

    kind: Annotated[Literal["etcd"], AfterValidator(_no_etcd)]
    endpoints: tuple[str, ...] = ()


StoreSection = Annotated[SqliteStore | EtcdStore, Field(discriminator="kind")]


class JournalSection(Strict):
    """How long the record is kept, and where. What leaves the database is sealed into files first; they verify like the rest."""

    keep_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    """So long entries stay in the database, where `siteshift why`, `journal tail` and `journal replay` find them."""
    keep_mb: Annotated[int, Field(ge=16, le=1_000_000)] = 256
    """So large the database may become, in MiB; beyond it the oldest entries are sealed before their time."""
    folder: AbsolutePath | None = None
    """Where sealed segments go; default: `journal` beside the database."""
    sealed_days: Annotated[int, Field(ge=1, le=36_500)] | None = 400
    """So long sealed segments are kept: a year, and a month to look back over it. `null`: for ever."""
    sealed_mb: Annotated[int, Field(ge=16, le=10_000_000)] | None = 4_096
    """So much room they may take, in MiB; beyond it the oldest are removed, and that is on record. `null`: without bound."""


class LogLevel(StrEnum):
    """From most to least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """`json` for machines (journald, collectors), `console` for eyes."""

    JSON = "json"
    CONSOLE = "console"


class LogSection(Strict):
    """What the node writes to standard error."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON


class LimitsSection(Strict):
    """Bounds; what happens at each is written beside it."""

    event_queue: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Events waiting for the core; beyond it reports and measurements, which the next ones replace, are dropped and counted."""
    notify_queue: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Notices waiting to be sent, for each notifier; beyond it the oldest of the least severe is dropped and counts as failed."""
    journal_rows: Annotated[int, Field(ge=10, le=1_000_000)] = 2_000
    """Journal rows kept while the store is lost; beyond it what is heard is counted in one `gap` entry, what is done is kept."""
    api_subscribers: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Event streams open at once; the next one is refused."""
    api_body_bytes: Annotated[int, Field(ge=1_024, le=16_777_216)] = 65_536
    """The largest body of a request; a larger one is refused."""
    enact_timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    """How long one write to, or read of, a data plane may take before it counts as ambiguous or unknown."""
