"""The nouns of an approval: the goal a person asked for, the envelope its steps must stay in, and who approved both (law 13)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from siteshift.core.model.codes import FindingCode
from siteshift.core.model.digest import digest_of, later_of
from siteshift.core.model.finding import Finding
from siteshift.core.model.units import EnactorId, MemberId, ServiceId, SiteId

SHARE_MARGIN_BP = 100
"""A predicted share may be missed by this much: shares are divided by measured demand, and that breathes."""
UTILISATION_MARGIN_PM = 50
"""Likewise for a site that is meant to be used beyond the limit of its policy."""

_WORSE_WHEN_MORE = frozenset({"utilisation_pm", "shed_bp", "stays_bp"})
_WORSE_WHEN_LESS = frozenset({"serving_after"})
"""The numbers of findings that an approval bounds. What names something must be equal; other numbers only tell."""
_NAMES = frozenset({"service", "site", "member", "refuge", "failed", "standing", "role", "phase"})


BOUND = _NAMES | _WORSE_WHEN_MORE | _WORSE_WHEN_LESS
"""What of a finding's numbers is accepted with it: the others waver (a score, the seconds left) and bound nothing."""


class Verb(StrEnum):
    """What a goal is: a person's request, or a move siteshift proposes and a person decides about."""

    DRAIN = "drain"
    UNDRAIN = "undrain"
    DEPOOL = "depool"
    POOL = "pool"
    SHARES = "shares"
    LIFT = "lift"
    PROPOSED = "proposed"


RELEASES = frozenset({Verb.UNDRAIN, Verb.LIFT, Verb.POOL})
"""Goals that let go of what was forced."""


class Direction(StrEnum):
    """What becomes of a member."""

    IN = "in"
    OUT = "out"


class ApprovalState(StrEnum):
    """``in_use`` from the first step on, ``used`` once the goal is reached."""

    GIVEN = "given"
    IN_USE = "in_use"
    USED = "used"
    LAPSED = "lapsed"
    REVOKED = "revoked"


def canonical(person: str) -> str:
    """One spelling for one person, however they signed in: an accent may be a letter's part or a character of its own."""
    folded = unicodedata.normalize("NFKC", person).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is wanted, in canonical form, without steps and times.

    ``life_ms`` is the life asked for, ``expires_ms`` the instant where one was given instead; neither: the policy's default.
    ``topology`` and ``policy`` are digests of what the configuration says of the services.
    """

    verb: Verb
    services: tuple[ServiceId, ...]
    sites: tuple[SiteId, ...] = ()
    members: tuple[MemberId, ...] = ()
    shares_bp: Mapping[SiteId, int] = field(default_factory=dict)
    override: str = ""
    cause: str = ""
    owner: str
    ticket: str = ""
    life_ms: int | None = None
    expires_ms: int | None = None
    topology: str
    policy: str

    @property
    def digest(self) -> str:
        return digest_of(
            {
                "verb": self.verb.value,
                "services": sorted(self.services),
                "sites": sorted(self.sites),
                "members": sorted(self.members),
                "shares_bp": dict(self.shares_bp),
                "override": self.override,
                "cause": self.cause,
                "owner": canonical(self.owner),
                "ticket": self.ticket,
                "life_ms": self.life_ms,
                "expires_ms": self.expires_ms,
                "topology": self.topology,
                "policy": self.policy,
                **later_of(self),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Between what a service may get at a site, and how far its capacity there may be used."""

    service: ServiceId
    site: SiteId
    share_min_bp: int
    share_max_bp: int
    utilisation_max_pm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A finding that whoever confirms or approves takes upon themselves, with its numbers.

    ``approvals_needed``: persons other than who asked; 0: who asked takes it upon themselves.
    """

    code: FindingCode
    numbers: Mapping[str, int | str]
    approvals_needed: int = 0

    def takes(self, code: FindingCode, numbers: Mapping[str, int | str]) -> bool:
        """Whether a finding is this one, and no worse."""
        if code is not self.code or any(self.numbers.get(k) != v for k, v in numbers.items() if k in _NAMES):
            return False
        return not any(
            (key in _WORSE_WHEN_MORE and int(number) > int(self.numbers.get(key, 0)))
            or (key in _WORSE_WHEN_LESS and int(number) < int(self.numbers.get(key, 0)))
            for key, number in numbers.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the steps of a goal may do, from what was predicted when it was shown.

    ``not_before_ms`` to ``start_by_ms`` is when it may begin; at ``ends_at_ms`` it is suspended if it is not there yet.
    The digest leaves the three instants out, which are counted from the confirmation, and how many persons a finding takes, which
    follows from its code (`decide.severities`).
    """

    bounds: tuple[Bounds, ...]
    shed_max_bp: Mapping[ServiceId, int]
    members: Mapping[MemberId, Direction] = field(default_factory=dict)
    planes: tuple[EnactorId, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    not_before_ms: int = 0
    start_by_ms: int = 0
    ends_at_ms: int = 0

    def at(self, service: ServiceId, site: SiteId) -> Bounds | None:
        return next((b for b in self.bounds if b.service == service and b.site == site), None)

    @property
    def approvals_needed(self) -> int:
        """How many persons other than who asked it takes."""
        return max((entry.approvals_needed for entry in self.accepted), default=0)

    def accepts(self, entry: Finding) -> bool:
        return any(taken.takes(entry.code, entry.numbers) for taken in self.accepted)

    def matter(self) -> Mapping[str, object]:
        """What its digest is made of."""
        return {
            "bounds": sorted(
                [b.service, b.site, b.share_min_bp, b.share_max_bp, b.utilisation_max_pm, *later_of(b).items()]
                for b in self.bounds
            ),
            "shed_max_bp": dict(self.shed_max_bp),
            "members": {member: way.value for member, way in self.members.items()},
            "planes": sorted(self.planes),
            "accepted": sorted(
                [entry.code.value, sorted(map(str, entry.numbers.items())), *later_of(entry).items()] for entry in self.accepted
            ),
            **later_of(self),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A goal with its envelope, as it is shown to a person; ``digest`` is what they confirm or approve."""

    goal: Goal
    envelope: Envelope

    @property
    def digest(self) -> str:
        return digest_of({"goal": self.goal.digest, "envelope": self.envelope.matter()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's approval of one offer. ``via`` is how they were recognised.

    ``expires_ms``, for people and the record, is the end of the envelope; what lets it lapse is the goal (`operate.goals`).
    """

    digest: str
    person: str
    rank: str
    via: str
    at_ms: int
    expires_ms: int
    state: ApprovalState = ApprovalState.GIVEN

    @property
    def counts(self) -> bool:
        return self.state in (ApprovalState.GIVEN, ApprovalState.IN_USE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Which bound was, or would be, left: what was approved there, and what is now."""

    field: str
    approved: str
    now: str

    @property
    def text(self) -> str:
        return f"{self.field}: approved {self.approved}, now {self.now}"
