"""The fence: the TXT record at ``_siteshift.<zone>`` that says which steering a zone carries.

Every update requires the text it read and replaces it, so two writers cannot both win and a writer that slept through
a newer generation is refused by the zone itself. The text reads ``gen=7 term=2 digest=0123456789abcdef``; while a
steering too large for one message is being written, ``part=1/3`` follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from siteshift.core.model.steering import Steering

FENCE_LABEL = "_siteshift"
FENCE_TTL_S = 0
"""Never cached: a reader wants the fence of this instant."""

_TEXT = re.compile(r"gen=(\d{1,19}) term=(\d{1,19}) digest=([0-9a-f]{1,64})(?: part=(\d{1,4})/(\d{1,4}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """What a zone says about the steering it carries. ``parts`` 1 and ``part`` 1: it is complete."""

    generation: int
    term: int
    digest: str
    part: int = 1
    parts: int = 1

    @property
    def complete(self) -> bool:
        return self.part >= self.parts

    def text(self) -> str:
        """The TXT string; equal fences, equal text."""
        unfinished = "" if self.complete else f" part={self.part}/{self.parts}"
        return f"gen={self.generation} term={self.term} digest={self.digest}{unfinished}"


def fence_of(steering: Steering) -> Fence:
    """The fence of a completely written steering."""
    return Fence(generation=steering.generation, term=steering.term, digest=steering.digest())


def parse_fence(text: str) -> Fence | None:
    """The fence a text stands for, or None when nobody of ours wrote that."""
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    generation, term, digest, part, parts = match.groups()
    return Fence(
        generation=int(generation),
        term=int(term),
        digest=digest,
        part=int(part) if part else 1,
        parts=int(parts) if parts else 1,
    )
