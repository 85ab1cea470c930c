"""What was shown to people lately, by digest: so that what they confirm is what they saw, though demand breathes meanwhile.

Only a memory of this process. Offers it has forgotten are compared by their digest alone; what waits for an approval, and
every fresh envelope of a goal that is suspended, the core itself keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from siteshift.core.model.approval import Offer

KEEP_MS = 15 * 60_000
"""From looking at a plan to pressing enter."""
LIMIT = 1_000


@dataclass(slots=True)
class Shown:
    """Offers that were shown, and until when they count."""

    _offers: dict[str, tuple[int, Offer]] = field(default_factory=dict)

    def note(self, offer: Offer | None, now_ms: int) -> None:
        """Remember that this was shown now."""
        if offer is None:
            return
        digest = offer.digest
        self._offers.pop(digest, None)
        while len(self._offers) >= LIMIT:
            self._offers.pop(next(iter(self._offers)))
        self._offers[digest] = (now_ms + KEEP_MS, offer)

    def of(self, digest: str | None, now_ms: int) -> Offer | None:
        """What was shown under this digest, while that still counts."""
        until_ms, offer = self._offers.get(digest or "", (0, None))
        return offer if until_ms > now_ms else None
