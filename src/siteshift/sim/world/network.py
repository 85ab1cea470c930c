"""Links between every pair of places: delay, loss and cuts, each direction by itself.

Places are names: sites, ``users``, ``anchors``, ``outside``, and ``service@site`` for a service's part of a site, which
falls back to the site's links where it has none of its own. What a link does to an exchange is the same for whoever asks over it
(`link`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

Pair = tuple[str, str]


@dataclass(slots=True)
class Net:
    """Mutable. Hindrances are kept by the scope of the fault that made them, so that healing one leaves the others."""

    near_ms: int
    far_ms: int
    delays_ms: dict[Pair, int]
    _cuts: dict[str, set[Pair]] = field(default_factory=dict)
    _losses: dict[str, dict[Pair, int]] = field(default_factory=dict)
    _cut: set[Pair] = field(default_factory=set)

    def cut(self, scope: str, one: str, other: str) -> None:
        """No packet passes from one to the other."""
        self._cuts.setdefault(scope, set()).add((one, other))
        self._cut.add((one, other))

    def lose(self, scope: str, one: str, other: str, loss_pm: int) -> None:
        """Packets from one to the other are lost with this probability."""
        self._losses.setdefault(scope, {})[(one, other)] = loss_pm

    def mend(self, scope: str) -> None:
        """Take back what this scope did."""
        self._cuts.pop(scope, None)
        self._losses.pop(scope, None)
        self._cut = set().union(*self._cuts.values()) if self._cuts else set()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut or lossy anywhere."""
        return not self._cut and not self._losses

    def passes(self, one: str, other: str) -> bool:
        """Whether packets go from one place to the other."""
        return not self._cut or not any(pair in self._cut for pair in _pairs(one, other))

    def is_open(self, one: str, other: str) -> bool:
        """Whether a request and its answer can pass."""
        return self.passes(one, other) and self.passes(other, one)

    def loss_pm(self, one: str, other: str) -> int:
        """Chance that a packet or its answer is lost; over what is cut all are."""
        if self.is_whole:
            return 0
        return 1_000 - self._kept(one, other) * self._kept(other, one) // 1_000_000_000

    def lost_pm(self, one: str, other: str) -> int:
        """Chance that a packet is lost on its way from one place to the other."""
        return 0 if self.is_whole else 1_000 - self._kept(one, other) // 1_000

    def _kept(self, one: str, other: str) -> int:
        """The part of packets that get from one place to the other, per million."""
        if not self.passes(one, other):
            return 0
        kept = 1_000_000
        for scope in self._losses.values():
            for pair in _pairs(one, other):
                kept = kept * (1_000 - scope.get(pair, 0)) // 1_000
        return kept

    def delay_ms(self, one: str, other: str) -> int:
        """One way."""
        if one == other:
            return self.near_ms
        return self.delays_ms.get((one, other), self.delays_ms.get((other, one), self.far_ms))


def _pairs(one: str, other: str) -> tuple[Pair, ...]:
    """The link itself and, for a service's part of a site, the site's links (but not within one site)."""
    site_a, site_b = one.rpartition("@")[2], other.rpartition("@")[2]
    if one == site_a and other == site_b:
        return ((one, other),)
    found = dict.fromkeys(((one, other), (one, site_b), (site_a, other)))
    return tuple(found | {(site_a, site_b): None}) if site_a != site_b else tuple(found)
