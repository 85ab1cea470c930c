"""The fence: the TXT record at ``_siteshift.<zone>`` that says which steering a zone carries.

Every update requires the text it read and replaces it, so two writers cannot both win and a writer that slept through
a newer generation is refused by the zone itself. The text is the mark that every data plane carries (`core.model.mark`) and
the digest of the steering, as in ``v1:cluster=shop:term=2:generation=7:node=node-a digest=0123456789abcdef``; while a
steering too large for one message is being written, ``part=1/3`` follows. Before there were marks it read
``gen=7 term=2 digest=0123456789abcdef``: that is read, and taken over with the next generation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from siteshift.core.model.mark import Origin, PlaneMark, read_mark
from siteshift.core.model.steering import Steering

FENCE_LABEL = "_siteshift"
FENCE_TTL_S = 0
"""Never cached: a reader wants the fence of this instant."""

_NUMBER = r"(0|[1-9][0-9]{0,17})"
_REST = r"digest=([0-9a-f]{1,64})(?: part=([1-9][0-9]{0,3})/([1-9][0-9]{0,3}))?"
_UNSIGNED = re.compile(rf"gen={_NUMBER} term={_NUMBER} {_REST}")
_SIGNED = re.compile(rf"(v1:[^ ]+) {_REST}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What a zone says about the steering it carries. ``parts`` 1 and ``part`` 1: it is complete. ``origin`` None: unsigned."""

    generation: int
    term: int
    digest: str
    part: int = 1
    parts: int = 1
    origin: Origin | None = None

    @property
    def mark(self) -> PlaneMark:
        """Who wrote that."""
        return PlaneMark(generation=self.generation, term=self.term if self.origin else None, origin=self.origin)

    @property
    def complete(self) -> bool:
        return self.part >= self.parts

    def text(self) -> str:
        """The TXT string; equal fences, equal text."""
        unfinished = "" if self.complete else f" part={self.part}/{self.parts}"
        named = self.mark.text() if self.origin is not None else f"gen={self.generation} term={self.term}"
        return f"{named} digest={self.digest}{unfinished}"


def fence_of(steering: Steering, signer: Origin | None = None) -> Fence:
    """The fence of a completely written steering."""
    return Fence(generation=steering.generation, term=steering.term, digest=steering.digest(), origin=signer)


def parse_fence(text: str) -> Fence | None:
    """The fence a text stands for, or None when nobody of ours wrote that."""
    if (signed := _SIGNED.fullmatch(text)) is not None:
        named, digest, part, parts = signed.groups()
        mark = read_mark(named)
        if mark is None or mark.term is None:
            return None
        generation, term, origin = mark.generation, mark.term, mark.origin
    elif (unsigned := _UNSIGNED.fullmatch(text)) is not None:
        number, of_term, digest, part, parts = unsigned.groups()
        generation, term, origin = int(number), int(of_term), None
    else:
        return None
    return Fence(
        generation=generation,
        term=term,
        digest=digest,
        part=int(part) if part else 1,
        parts=int(parts) if parts else 1,
        origin=origin,
    )
