"""Can the weights of an HAProxy say the nominal shares?"""

from __future__ import annotations

from siteshift.config.checks.findings import At, Findings
from siteshift.config.model.enactors import (
    AgentCheckEnactor,
    HaproxyAlgorithm,
    HaproxyBackendEntry,
    HaproxyMapped,
    HaproxyMode,
)
from siteshift.config.model.topology import PoolEntry, ServiceEntry
from siteshift.config.problem import Path, ProblemCode
from siteshift.core.model.codes import MemberRole
from siteshift.core.model.units import WHOLE_BP

WEIGHT_MAX = 256
"""HAProxy's bound for one server."""
NOTED_BP = 100
"""As the enactors note it while running: more than one per cent of the service."""


def check_weights(
    enactor: HaproxyMapped, entry: HaproxyBackendEntry, service: ServiceEntry, path: Path, findings: Findings
) -> None:
    """The shares that servers of weight 1 to 256, or of one weight, make of the nominal ones. A local plane has one site's."""
    pools = [pool for pool in service.pools if _active(pool) and pool.nominal_percent > 0]
    if enactor.mode is HaproxyMode.LOCAL or len(pools) < 2:
        return
    is_static = (entry.algorithm or enactor.algorithm) is HaproxyAlgorithm.STATIC
    strongest = max(pool.nominal_percent / _active(pool) for pool in pools)
    parts = {
        pool.site: _active(pool) * (1.0 if is_static else max(pool.nominal_percent / _active(pool), strongest / WEIGHT_MAX))
        for pool in pools
    }
    whole = sum(parts.values())
    for pool in pools:
        given_bp = round(parts[pool.site] * WHOLE_BP / whole)
        if abs(given_bp - pool.nominal_percent) <= NOTED_BP:
            continue
        wanted, given = f"{pool.nominal_percent / 100:g} %", f"{given_bp / 100:g} %"
        message = f"'{pool.site}' shall have {wanted}, and the weights can say no nearer share than {given}"
        remedy = "map fewer, stronger servers there: one has 1 to 256 parts"
        if is_static:
            remedy = "use a balancing algorithm that takes weights at run time, such as roundrobin, and `algorithm: dynamic`"
        findings.note(ProblemCode.SHARE_BY_WEIGHT, path, message, remedy, below=[("services",), path], at=At.KEY)
        return


def check_initial_weights(enactor: AgentCheckEnactor, path: Path, findings: Findings) -> None:
    """An agent can only say per cents of the weight in haproxy.cfg, so that has to be known."""
    if not findings.given((*path, "initial_weight")):
        message = "it is not said which `weight` the servers have in haproxy.cfg; taken to be 1, HAProxy's own default"
        remedy = "add `initial_weight`, with 1 where there is none; were it another number, shares would come out wrong"
        findings.note(ProblemCode.INITIAL_WEIGHT, path, message, remedy, at=At.KEY)
    backends = {entry.backend for entry in enactor.backends}
    for name in enactor.initial_weights:
        if name.partition("/")[0] not in backends or "/" not in name:
            message = f"'{name}' is no server of a backend that is mapped here"
            place = (*path, "initial_weights", name)
            findings.note(ProblemCode.BACKEND_MAPPING, place, message, "write it as backend/server", below=[(*path, "backends")])


def _active(pool: PoolEntry) -> int:
    return sum(member.role is MemberRole.ACTIVE for member in pool.members)
