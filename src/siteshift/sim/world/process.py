"""What the world asks of a controller node that stands in it. What a node is and does otherwise is no business of the world's."""

from __future__ import annotations

from typing import Protocol

from siteshift.core.model.units import SiteId, VantageId


class NodeProcess(Protocol):
    """A node as its surroundings see it: where it stands, whether it runs, and whether it leads."""

    @property
    def id(self) -> VantageId: ...

    @property
    def site(self) -> SiteId: ...

    @property
    def is_dead(self) -> bool: ...

    @property
    def term(self) -> int | None:
        """The term it believes it holds; None: it does not lead."""

    def wake_prober(self) -> None:
        """Something is about to change: no probe may rest any more."""

    def wakes(self) -> None:
        """The world stirs after a calm."""

    def kill(self) -> None:
        """Its site goes dark."""

    def start_again(self) -> None:
        """Its site is back."""
