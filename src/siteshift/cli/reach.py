"""Where the node is: a Unix socket, or a URL with a token.

The command line wins over the environment (``SITESHIFT_SOCKET``, ``SITESHIFT_URL``, ``SITESHIFT_TOKEN_FILE``,
``SITESHIFT_CA``), the environment over the configuration file of this machine, that over the usual place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from siteshift.cli.exits import ExitCode, Failure, usage

CONFIG = Path("/etc/siteshift/siteshift.yaml")
SOCKET = Path("/run/siteshift/api.sock")


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAddress:
    """What the command line says."""

    socket: Path | None = None
    url: str | None = None
    token_file: Path | None = None
    ca: Path | None = None

    def over(self, earlier: GivenAddress) -> GivenAddress:
        """These, and where they say nothing the earlier ones; a way given here replaces the other way."""
        has_way = self.socket is not None or self.url is not None
        return GivenAddress(
            socket=self.socket if has_way else earlier.socket,
            url=self.url if has_way else earlier.url,
            token_file=self.token_file or earlier.token_file,
            ca=self.ca or earlier.ca,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixPlace:
    """A node on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsPlace:
    """A node over TLS."""

    host: str
    port: int
    token: str | None
    ca: Path | None

    def __str__(self) -> str:
        return f"https://{self.host}:{self.port}"


Place = UnixPlace | TlsPlace


def find_place(given: GivenAddress, environ: Mapping[str, str], config: Path = CONFIG) -> Place:
    """Where to ask. Raises `Failure` when what was given contradicts itself or cannot be read."""
    if given.socket is not None and given.url is not None:
        raise usage("--socket and --url are two ways to the same node", "Give one of them.")
    from_environment = GivenAddress(
        socket=_path(environ.get("SITESHIFT_SOCKET")),
        url=environ.get("SITESHIFT_URL") or None,
        token_file=_path(environ.get("SITESHIFT_TOKEN_FILE")),
        ca=_path(environ.get("SITESHIFT_CA")),
    )
    found = given.over(from_environment)
    if found.socket is not None:
        return UnixPlace(path=found.socket)
    if found.url is not None:
        return _tls_place(found)
    return UnixPlace(path=_socket_of(config) or SOCKET)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _tls_place(given: GivenAddress) -> TlsPlace:
    parts = urlsplit(given.url or "")
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise usage(f"{given.url!r} is no address of a node", "Write https://HOST[:PORT]; the API speaks TLS only.")
    try:
        port = parts.port or 443
    except ValueError:
        raise usage(f"{given.url!r} has no usable port", "Write https://HOST:PORT.") from None
    token: str | None = None
    if given.token_file is not None:
        try:
            token = given.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            text = f"the token file {given.token_file} cannot be read: {getattr(error, 'strerror', None) or error}"
            raise Failure(ExitCode.FAILED, text, remedy="Give a file that holds the token alone.") from error
    return TlsPlace(host=parts.hostname, port=port, token=token, ca=given.ca)


def _socket_of(config: Path) -> Path | None:
    """The socket that this machine's configuration names; it is not judged here, only looked into."""
    try:
        text = config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    import yaml  # it takes longer to load than the rest of a command, and most machines have no file here

    try:
        path = yaml.safe_load(text)["api"]["unix"]["path"]
    except (yaml.YAMLError, KeyError, TypeError):
        return None
    return Path(path) if isinstance(path, str) and path else None
