"""The mark a data plane carries: which steering it has, and who decided it. One text form for every kind of plane.

The text reads ``v1:cluster=shop:term=3:generation=17:node=node-pangyo``. It has no blank, quote, comma, semicolon or bracket,
so that it fits unquoted into HAProxy's ``str()`` and into a TXT string. Before there were marks a plane carried the bare
generation, ``17``: that is read as a mark without an origin.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MARK_CHARACTERS_MAX = 255
"""What one string of a TXT record holds (RFC 1035 §3.3); names of 63 characters leave room."""

_NAME = r"[a-z0-9][a-z0-9._-]{0,62}"
_NUMBER = r"(?:0|[1-9][0-9]{0,17})"
"""Below 2**63, HAProxy's integers, and one spelling for each number."""
_WHOLE_NAME = re.compile(_NAME)
_MARK = re.compile(rf"v1:cluster=({_NAME}):term=({_NUMBER}):generation=({_NUMBER}):node=({_NAME})")
_BARE = re.compile(_NUMBER)
NUMBER_END = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who decides: a node of a cluster. Nodes of one cluster share a store, and in one term only one of them decides.

    Raises `ValueError` for a name that a mark cannot hold.
    """

    cluster: str
    node: str

    def __post_init__(self) -> None:
        for name in (self.cluster, self.node):
            if _WHOLE_NAME.fullmatch(name) is None:
                raise ValueError(f"{name!r} cannot stand in a mark: use small letters, digits, `-`, `_` and `.`, at most 63")

    def __str__(self) -> str:
        return f"node {self.node} of cluster {self.cluster}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneMark:
    """What a data plane says about the steering it carries. ``origin`` and ``term`` are None in the old form alone."""

    generation: int
    term: int | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if (self.term is None) != (self.origin is None):
            raise ValueError("a mark has both a term and an origin, or neither")
        for number in (self.generation, self.term or 0):
            if not 0 <= number < NUMBER_END:
                raise ValueError(f"{number} cannot stand in a mark")

    def text(self) -> str:
        """The text form; equal marks, equal text."""
        if self.origin is None:
            return str(self.generation)
        origin = self.origin
        return f"v1:cluster={origin.cluster}:term={self.term}:generation={self.generation}:node={origin.node}"

    def __str__(self) -> str:
        if self.origin is None:
            return f"generation {self.generation}"
        return f"generation {self.generation} of term {self.term} by {self.origin}"


def read_mark(text: str) -> PlaneMark | None:
    """The mark a text stands for; None when nobody of us wrote that."""
    if _BARE.fullmatch(text):
        return PlaneMark(generation=int(text))
    match = _MARK.fullmatch(text) if len(text) <= MARK_CHARACTERS_MAX else None
    if match is None:
        return None
    cluster, term, generation, node = match.groups()
    return PlaneMark(generation=int(generation), term=int(term), origin=Origin(cluster=cluster, node=node))


class MarkClaim(StrEnum):
    """What a mark found on a plane means to somebody who wants to write their own."""

    FREE = "free"
    """Nothing is there, or something older that may be replaced: ours, unsigned, or of a former term of our cluster."""
    NEWER = "newer"
    """Our cluster has gone on without us: the write is stale."""
    FOREIGN = "foreign"
    """Another cluster, or another node that decides in the very same term: two controllers on one plane. Never overwrite."""


def claim_of(found: PlaneMark | None, own: PlaneMark, *, taken_over: PlaneMark | None = None) -> MarkClaim:
    """What the mark found means to the writer of ``own``. The same rule for every kind of plane.

    ``taken_over`` is the one mark of somebody else that a person has said may be replaced; no other one, however like it.
    """
    if found is not None and found == taken_over and found.generation < own.generation:
        return MarkClaim.FREE
    if found is not None and found.origin is not None and own.origin is not None:
        if found.origin.cluster != own.origin.cluster:
            return MarkClaim.FOREIGN
        if found.origin.node != own.origin.node and found.term == own.term:
            return MarkClaim.FOREIGN
        if (found.term or 0) > (own.term or 0):
            return MarkClaim.NEWER
    return MarkClaim.NEWER if found is not None and found.generation > own.generation else MarkClaim.FREE


def is_of(found: PlaneMark | None, origin: Origin) -> bool:
    """Whether the generation of a mark counts as this origin's own. An unsigned one does: it is from before there were marks."""
    return found is None or found.origin is None or found.origin == origin
