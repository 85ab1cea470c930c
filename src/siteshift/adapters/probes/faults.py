"""What an operating-system error says about a target, or about ourselves.

A local failure is no evidence (law 3): out of sockets, no local route, our own interface down. The same error number
can mean either: "no route" at once from ``connect`` is our own routing table; the same reported later is an ICMP
message from the path and therefore about the target.
"""

from __future__ import annotations

import errno
import os
from enum import Enum

from siteshift.adapters.probes.slot import Verdict, failed, lost
from siteshift.core.model.codes import Fault


class Reported(Enum):
    """How an error reached us."""

    AT_ONCE = "by the call itself"
    LATER = "by the network"


_LOCAL = frozenset(
    {
        errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EADDRINUSE,
        errno.ENETDOWN, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EAGAIN, errno.EINVAL, errno.EBADF,
    }
)  # fmt: skip
"""EACCES and EPERM come from a local firewall or a ``prohibit`` route, EINVAL from a ``blackhole`` one."""

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN})

_REMOTE = {
    errno.ECONNREFUSED: Fault.REFUSED,
    errno.ECONNRESET: Fault.RESET,
    errno.EPIPE: Fault.RESET,
    errno.ECONNABORTED: Fault.RESET,
    errno.ETIMEDOUT: Fault.TIMEOUT,
    errno.EPROTO: Fault.PROTOCOL,
}


def verdict_of(number: int | None, reported: Reported) -> Verdict:
    """The verdict for an errno. What we do not know is not the target's fault: ``lost``."""
    if number is None:
        return lost("an error without a number")
    text = os.strerror(number)
    if number in _NO_ROUTE:
        return lost(f"no local route: {text}") if reported is Reported.AT_ONCE else failed(Fault.UNREACHABLE, text)
    if number in _LOCAL:
        return lost(text)
    if fault := _REMOTE.get(number):
        return failed(fault, text)
    return lost(f"{text} (errno {number})")
