"""DNS data planes: the embedded authoritative server, RFC 2136 updates, and small questions asked of servers."""
