"""Laws 3, 4 and 5: what may be believed, and what may follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from siteshift.core.beliefs.traffic import served_lately
from siteshift.core.judge.diagnosis import diagnose
from siteshift.core.judge.quorum import BAD
from siteshift.core.judge.served import DARK_PM, PoolKey
from siteshift.core.laws.conduct import only_what_was_named
from siteshift.core.laws.passage import Passage, Violation
from siteshift.core.messages.events import Asked
from siteshift.core.model.codes import LeftBecause, SiteLife, Standing
from siteshift.core.model.evidence import Picture
from siteshift.core.model.topology import Service
from siteshift.core.model.units import SiteId, pool_target, site_target


def law_3_unknown_is_not_down(p: Passage) -> Iterator[Violation]:
    """Blind, or without evidence for a site: no share changes that nobody forced."""
    for service, old, new in p.changes():
        if p.is_forced(service) or dict(old.shares_bp) == dict(new.shares_bp):
            continue
        if p.after.picture.blind:
            yield Violation(law=3, text=f"{service.id}: shares changed while blind")
        for site in service.sites:
            lost = new.shares_bp.get(site, 0) < old.shares_bp.get(site, 0)
            if lost and p.standing(service, site) is Standing.UNKNOWN:
                yield Violation(law=3, text=f"{service.id}: {site} lost share without evidence")


def law_4_doubt_yourself(p: Passage) -> Iterator[Violation]:
    """A fault that is everywhere, or seen by an isolated observer, is never a drain."""
    for service, old, new in p.changes():
        if p.is_forced(service) or service.id not in p.after.picture.global_fault:
            continue
        if dict(old.shares_bp) != dict(new.shares_bp):
            yield Violation(law=4, text=f"{service.id}: shares changed during a global fault")
    yield from _left_by_few(p)


def _left_by_few(p: Passage) -> Iterator[Violation]:
    """A site is left for evidence only on the word of most who can know, and never while all sites fail alike."""
    if p.before.tracks is p.after.tracks:
        return
    for service in p.setup.topology.services:
        for site in service.sites:
            now, was = p.after.track(service.id, site), p.before.track(service.id, site)
            is_left = now.life is SiteLife.DRAINING and was.life not in (SiteLife.DRAINING, SiteLife.DRAINED)
            if not is_left or now.left_because in (None, LeftBecause.PERSON, LeftBecause.UNKNOWN):
                continue
            accusing, speaking = _votes(p, service, site)
            if speaking and 2 * accusing <= speaking:
                yield Violation(law=4, text=f"{service.id}: {site} left on the word of {accusing} of {speaking} vantages")
            words = [_votes(p, service, other, (Standing.DOWN,)) for other in service.sites]
            is_down = len(words) > 1 and all(told and 2 * down > told for down, told in words)
            if is_down and not any(_is_answered(p, service, other) for other in service.sites):
                yield Violation(law=4, text=f"{service.id}: {site} left although every site is held to be down")


def _is_answered(p: Passage, service: Service, site: SiteId) -> bool:
    """Whether a meter counts that users are answered there, in a window begun since its checks fail: that is not down."""
    found = served_lately(p.after, p.setup.metered, (service.id, site))
    target = pool_target(service.id, site)
    failing = [view.since_ms for r in p.after.reports.values() if (view := r.views.get(target)) and view.standing in _BAD]
    if found is None or not failing:
        return False
    return found.is_of_now(p.now_ms) and found.began_since(min(failing)) and found.part_pm > DARK_PM


_BAD = (Standing.DOWN, Standing.DEGRADED)


def _votes(p: Passage, service: Service, site: SiteId, accusations: tuple[Standing, ...] = _BAD) -> tuple[int, int]:
    """How many of those who can know about a pool accuse it, and how many they are: counted from the reports alone.

    Those can know who reported lately, reach an anchor, are not known to be cut off, and stand elsewhere. Where real traffic
    contradicts the check of the pool, the site's stream is made of the same checks and accuses nobody.
    """
    stale_ms = p.setup.policy.judge.report_stale_ms
    fresh = [
        report
        for report in p.after.reports.values()
        if p.now_ms - report.at_ms <= stale_ms
        and (report.self_check.anchors_ok > 0 or report.self_check.anchors_total == 0)
        and report.vantage not in p.after.picture.isolated
    ]
    outside = [report for report in fresh if report.site != site] or fresh
    accusing = speaking = 0
    for report in outside:
        pool, whole = report.views.get(pool_target(service.id, site)), report.views.get(site_target(site))
        if pool is None:
            continue
        speaking += 1
        is_whole_bad = whole is not None and whole.standing in accusations and not pool.is_contradicted
        accusing += pool.standing in accusations or is_whole_bad
    return accusing, speaking


def law_5_real_and_forced(p: Passage) -> Iterator[Violation]:
    """The picture is made of reports and meters alone: no override shows in it. Letting go touches only what was named."""
    yield from only_what_was_named(p)
    if p.before.overrides == p.after.overrides and not isinstance(p.event, Asked):
        return
    topology, policy = p.setup.topology, p.setup.policy
    served_of = partial(served_lately, p.after, p.setup.metered)
    alone = diagnose(topology, policy, p.after.reports, p.now_ms, previous=p.before.picture, served_of=served_of)
    believed = p.after.picture
    differs = [key for key in alone.pools.keys() | believed.pools.keys() if _standing(alone, key) is not _standing(believed, key)]
    if differs and believed is p.before.picture:  # it was made before, and meters may have been read since
        unread = diagnose(topology, policy, p.after.reports, p.now_ms, previous=believed)
        differs = [key for key in differs if not _may_be_softened(_standing(unread, key), _standing(believed, key))]
    if differs:
        yield Violation(law=5, text="an override changed what is believed")


def _standing(picture: Picture, key: PoolKey) -> Standing | None:
    seen = picture.pools.get(key)
    return seen.standing if seen is not None else None


def _may_be_softened(by_checks: Standing | None, believed: Standing | None) -> bool:
    """Whether a meter, whatever it counted, can have made this of what checks say: it softens what is bad (`judge.served`)."""
    return believed is by_checks or (by_checks in BAD and believed in (Standing.SUSPECT, Standing.DEGRADED))
