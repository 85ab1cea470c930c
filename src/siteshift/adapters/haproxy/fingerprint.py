"""What a backend was left like, as one number: so that a siteshift started anew sees what was changed by hand
meanwhile.

The number of what was written equals the number of what is there, as long as nobody touched it. Which of ``drain`` and
``maint`` a standby rests in is its driver's choice and not part of it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

from siteshift.adapters.haproxy.plane import Algorithm, BackendMap, HaproxyPlane
from siteshift.adapters.haproxy.server_state import AdminState, ServerState
from siteshift.adapters.haproxy.targets import Target, mapped_servers
from siteshift.core.model.codes import MemberRole


def of_targets(plane: HaproxyPlane, backend: BackendMap, targets: Mapping[str, Target]) -> int:
    """The number of a backend that is as its targets say."""
    weighs = plane.algorithm_of(backend) is Algorithm.DYNAMIC
    standbys = _standbys(backend)
    return _number(
        _word(server, targets[server].admin, targets[server].weight if weighs else None, standbys)
        for server in mapped_servers(backend)
        if server in targets
    )


def of_states(plane: HaproxyPlane, backend: BackendMap, present: Mapping[str, ServerState]) -> int:
    """The number of a backend as it is."""
    weighs = plane.algorithm_of(backend) is Algorithm.DYNAMIC
    standbys = _standbys(backend)
    return _number(
        _word(server, state.admin, state.weight if weighs or state.weight == 0 else None, standbys)
        for server in mapped_servers(backend)
        if (state := present.get(server)) is not None
    )


def _word(server: str, admin: AdminState, weight: int | None, standbys: frozenset[str]) -> str:
    if admin is AdminState.READY:
        return f"{server}={weight}"
    return f"{server} rests" if server in standbys else f"{server} {admin}"


def _standbys(backend: BackendMap) -> frozenset[str]:
    return frozenset(mapped.server for mapped in backend.servers if mapped.role is MemberRole.STANDBY)


def _number(words: Iterable[str]) -> int:
    return zlib.crc32(" ".join(words).encode())
