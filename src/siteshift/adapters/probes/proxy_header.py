"""The PROXY protocol's header, as a prober sends it (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt).

Byte for byte what the checks of HAProxy 2.6 send: version 1 names the two ends of the connection; version 2 has a word for what
we are, ``LOCAL``, a connection of the proxy's own. So the server's log shows the node itself.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol

from siteshift.core.model.probe import ProxyProtocol

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_LOCAL = _SIGNATURE + b"\x20\x00\x00\x00"
"""Version 2, command LOCAL, family unspecified, no addresses."""


class Ends(Protocol):
    """A connected socket."""

    def getsockname(self) -> tuple[str, int, *tuple[object, ...]]: ...

    def getpeername(self) -> tuple[str, int, *tuple[object, ...]]: ...


def proxy_header(version: ProxyProtocol, sock: Ends) -> bytes:
    """The bytes that come first on this connection. Raises OSError when it is not connected."""
    if version is ProxyProtocol.V2:
        return _V2_LOCAL
    (ours, our_port, *_), (theirs, their_port, *_) = sock.getsockname(), sock.getpeername()
    source, target = ip_address(ours.partition("%")[0]), ip_address(theirs.partition("%")[0])
    return f"PROXY TCP{source.version} {source} {target} {our_port} {their_port}\r\n".encode()
