"""Nothing may be there twice: ids, names, addresses, listeners, sites of a service."""

from __future__ import annotations

from collections.abc import Iterable

from siteshift.config.checks.findings import Findings
from siteshift.config.model.root import ConfigFile
from siteshift.config.model.topology import ServiceEntry
from siteshift.config.problem import Path, ProblemCode

REMEDIES = {
    ProblemCode.DUPLICATE_ID: "rename one",
    ProblemCode.DUPLICATE_ADDRESS: "correct one of them",
    ProblemCode.DUPLICATE_NAME: "give it to one service only",
    ProblemCode.SITE_TWICE: "put all members of a site into one pool",
}


def check_identities(config: ConfigFile, findings: Findings) -> None:
    """Duplicates of any kind."""
    _ids(findings, "site", ("sites",), (site.id for site in config.sites))
    _ids(findings, "group", ("shared_fate",), (group.id for group in config.shared_fate))
    _ids(findings, "service", ("services",), (service.id for service in config.services))
    _ids(findings, "enactor", ("enactors",), (enactor.id for enactor in config.enactors))
    _ids(findings, "standby driver", ("standby_drivers",), (driver.id for driver in config.standby_drivers))
    _ids(findings, "meter", ("traffic",), (meter.id for meter in config.traffic))
    _ids(findings, "evidence", ("evidence",), (entry.id for entry in config.evidence))
    _ids(findings, "notifier", ("notifiers",), (notifier.id for notifier in config.notifiers))
    users = [(("api", "tokens", index, "unix_user"), token.unix_user) for index, token in enumerate(config.api.tokens)]
    _unique(findings, ProblemCode.DUPLICATE_ID, ((path, user) for path, user in users if user is not None), "Unix user")
    anchors = ("anchors", "outside")
    _ids(findings, "anchor", anchors, (anchor.id for anchor in config.anchors.outside))
    _ids(findings, "anchor", ("anchors", "own_site"), (anchor.id for anchor in config.anchors.own_site))
    for index, service in enumerate(config.services):
        _service(service, ("services", index), findings)
    _names(config, findings)


def _ids(findings: Findings, kind: str, listing: Path, ids: Iterable[str]) -> None:
    entries = [((*listing, index, "id"), name) for index, name in enumerate(ids)]
    _unique(findings, ProblemCode.DUPLICATE_ID, entries, kind)


def _unique(findings: Findings, code: ProblemCode, entries: Iterable[tuple[Path, str]], kind: str) -> None:
    seen: dict[str, Path] = {}
    for path, name in entries:
        if findings.tainted(path):
            continue
        if name in seen:
            first = seen[name]
            findings.note(code, path, f"{kind} '{name}' is there already, in line {findings.line(first)}", REMEDIES[code])
        else:
            seen[name] = path


def _service(service: ServiceEntry, path: Path, findings: Findings) -> None:
    _ids(findings, "probe", (*path, "probes"), (probe.id for probe in service.probes))
    sites = [((*path, "pools", index, "site"), pool.site) for index, pool in enumerate(service.pools)]
    _unique(findings, ProblemCode.SITE_TWICE, sites, "a pool at")
    members, answers = [], []
    for index, pool in enumerate(service.pools):
        here = (*path, "pools", index)
        names = [((*here, "members", number, "name"), member.name) for number, member in enumerate(pool.members)]
        _unique(findings, ProblemCode.DUPLICATE_ID, names, "member")
        members += [
            ((*here, "members", number, "address"), f"{member.address} port {member.port}")
            for number, member in enumerate(pool.members)
            if not findings.tainted((*here, "members", number, "port"))
        ]
        answers += [((*here, "answers", number), answer) for number, answer in enumerate(pool.answers)]
    _unique(findings, ProblemCode.DUPLICATE_ADDRESS, members, "a member at")
    answers += [((*path, "shed_answers", number), answer) for number, answer in enumerate(service.shed_answers)]
    _unique(findings, ProblemCode.DUPLICATE_ADDRESS, answers, "the answer")


def _names(config: ConfigFile, findings: Findings) -> None:
    entries = [
        (("services", index, "names", number), name)
        for index, service in enumerate(config.services)
        for number, name in enumerate(service.names)
    ]
    _unique(findings, ProblemCode.DUPLICATE_NAME, entries, "the name")
