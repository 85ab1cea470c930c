"""From a sound file to what the rest of siteshift works with: topology, policy, probes and the setups of adapters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from siteshift.config.fields import split_listen
from siteshift.config.model.node import EtcdStore, TlsApi
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import MemberEntry, PoolEntry, ServiceEntry
from siteshift.config.resolve_planes import drivers_of, evidence_of, meters_of, notifiers_of, planes_of
from siteshift.config.resolve_policy import policy_of
from siteshift.config.resolve_probes import anchors_of, probes_of
from siteshift.config.setups import (
    ApiSetup,
    DriverSetup,
    EvidenceSetup,
    JournalSetup,
    LimitsSetup,
    LogSetup,
    MeterSetup,
    NodeSetup,
    NotifierSetup,
    PlaneSetup,
    SqliteStoreSetup,
    TlsListenerSetup,
    TokenSetup,
    UnixGrantSetup,
)
from siteshift.config.show import effective_values
from siteshift.core.model.policy import Policy
from siteshift.core.model.probe import ProbeSpec
from siteshift.core.model.topology import Member, Pool, Service, SharedFateGroup, Site, Topology
from siteshift.core.model.units import DriverId, GroupId, MemberId, ServiceId, SiteId, VantageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Everything a node needs. ``digest`` (16 hex digits) changes when anything of it does; comments do not count.

    ``anchors`` are outside all sites, ``own_site_anchors`` in the node's own; neither is part of ``probes``.
    """

    node: NodeSetup
    topology: Topology
    policy: Policy
    probes: tuple[ProbeSpec, ...]
    anchors: tuple[ProbeSpec, ...]
    own_site_anchors: tuple[ProbeSpec, ...]
    planes: tuple[PlaneSetup, ...]
    drivers: tuple[DriverSetup, ...]
    meters: tuple[MeterSetup, ...]
    evidence: tuple[EvidenceSetup, ...]
    notifiers: tuple[NotifierSetup, ...]
    api: ApiSetup
    store: SqliteStoreSetup
    journal: JournalSetup
    log: LogSetup
    limits: LimitsSetup
    digest: str


def resolve(config: ConfigFile) -> Resolved:
    """Make everything out. The file must have passed the checks without an error.

    Reads the secrets that probes send as headers: raises `SecretUnavailable` when one has gone since the checks.
    """
    topology = topology_of(config)
    planes = planes_of(config, topology)
    return Resolved(
        node=NodeSetup(
            id=VantageId(config.node.id),
            site=SiteId(config.node.site),
            state_dir=config.node.state_dir,
            cluster=config.node.cluster,
        ),
        topology=topology,
        policy=policy_of(config),
        probes=probes_of(config),
        anchors=anchors_of(config, config.anchors.outside, "anchor"),
        own_site_anchors=anchors_of(config, config.anchors.own_site, "own"),
        planes=planes,
        drivers=drivers_of(config, topology),
        meters=meters_of(config, planes),
        evidence=evidence_of(config, planes),
        notifiers=notifiers_of(config),
        api=_api(config),
        store=_store(config),
        journal=_journal(config),
        log=LogSetup(level=config.log.level, format=config.log.format),
        limits=LimitsSetup(**config.limits.model_dump()),
        digest=digest_of(config),
    )


def digest_of(config: ConfigFile) -> str:
    """SHA-256 (first 16 hex digits) of what takes effect: a default that is written out changes nothing."""
    text = json.dumps(effective_values(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def topology_of(config: ConfigFile) -> Topology:
    """Sites, services, pools, members and groups, in the order of the file. One vantage: this node."""
    return Topology(
        sites=tuple(
            Site(id=SiteId(site.id), label=site.label or site.id, capacity_rps=site.capacity_rps) for site in config.sites
        ),
        services=tuple(_service(service) for service in config.services),
        vantages=((VantageId(config.node.id), SiteId(config.node.site)),),
        groups=tuple(
            SharedFateGroup(
                id=GroupId(group.id),
                sites=tuple(SiteId(site) for site in group.sites),
                members=tuple(MemberId(member) for member in group.members),
            )
            for group in config.shared_fate
        ),
    )


def _service(service: ServiceEntry) -> Service:
    return Service(
        id=ServiceId(service.id),
        names=service.names,
        tier=service.tier,
        demand_rps=service.demand_rps,
        pools=tuple(_pool(service, pool) for pool in service.pools),
        slo_latency_ms=service.slo.latency_ms or 0,
        depends_on=tuple(ServiceId(name) for name in service.depends_on),
        data=service.data,
        shed_answers=service.shed_answers,
    )


def _pool(service: ServiceEntry, pool: PoolEntry) -> Pool:
    return Pool(
        service=ServiceId(service.id),
        site=SiteId(pool.site),
        nominal_bp=pool.nominal_percent,
        answers=pool.answers,
        members=tuple(_member(service, pool, member) for member in pool.members),
    )


def _member(service: ServiceEntry, pool: PoolEntry, member: MemberEntry) -> Member:
    return Member(
        id=MemberId(f"{service.id}/{pool.site}/{member.name}"),
        service=ServiceId(service.id),
        site=SiteId(pool.site),
        name=member.name,
        address=member.address,
        port=member.port,
        capacity_rps=member.capacity_rps,
        role=member.role,
        standby_driver=DriverId(member.standby_driver) if member.standby_driver else None,
    )


def _api(config: ConfigFile) -> ApiSetup:
    api = config.api
    return ApiSetup(
        unix_path=api.unix.path,
        unix_mode=int(api.unix.mode, 8),
        unix_grants=tuple(
            UnixGrantSetup(user=grant.user or "", group=grant.group or "", role=grant.role) for grant in api.unix.grants
        ),
        tls=_tls_listener(api.tls) if api.tls else None,
        tokens=tuple(
            TokenSetup(owner=token.owner, role=token.role, secret=token.secret, unix_user=token.unix_user or "")
            for token in api.tokens
        ),
    )


def _tls_listener(tls: TlsApi) -> TlsListenerSetup:
    return TlsListenerSetup(
        listen=split_listen(tls.listen),
        certificate_file=tls.certificate_file,
        key=tls.key,
        client_ca_file=tls.client_ca_file or "",
    )


def _store(config: ConfigFile) -> SqliteStoreSetup:
    if isinstance(config.store, EtcdStore):  # refused while reading; the type says it could be
        raise ValueError("the store etcd is not part of this version")
    return SqliteStoreSetup(path=config.store.path or f"{config.node.state_dir}/siteshift.db")


def _journal(config: ConfigFile) -> JournalSetup:
    journal = config.journal
    return JournalSetup(
        folder=journal.folder or str(Path(_store(config).path).with_name("journal")),
        keep_days=journal.keep_days,
        keep_mb=journal.keep_mb,
        sealed_days=journal.sealed_days,
        sealed_mb=journal.sealed_mb,
    )
