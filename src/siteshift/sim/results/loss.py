"""What counts as loss: the one definition by which every run is judged, whoever steered it.

``loss = failed + shed + w * late``, in requests of users (a try that was repeated with success is none). A half judges; what is
said at 0 and at 1 stands beside it, so that no verdict hangs on the weight unseen. Why a half: docs/adr/0014.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

JUDGING = 0.5
"""The weight of a late answer in whatever ranks, compares or calls worse. It costs its user something, and less than none."""
WEIGHTS: Mapping[str, float] = {"0": 0.0, "1/2": JUDGING, "1": 1.0}
"""The weights that are shown, by how they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Requests that were not answered as promised.

    ``failed``  no good answer, after the retries: refused, silent, in error, turned away by a full queue.
    ``shed``    sent to the sorry page by the steering.
    ``late``    answered later than the service's latency objective, from the user's first try on (`is_late`).
    """

    failed: float = 0.0
    shed: float = 0.0
    late: float = 0.0

    @property
    def unanswered(self) -> float:
        """What got no answer of the service, late ones left out."""
        return self.failed + self.shed

    def weighed(self, late_weight: float = JUDGING) -> float:
        """The loss in requests, a late answer being so much of one."""
        return self.unanswered + late_weight * self.late

    def as_document(self) -> dict[str, float | dict[str, float]]:
        """For JSON: the parts, and the loss by weight."""
        weighed = {name: self.weighed(weight) for name, weight in WEIGHTS.items()}
        return {"failed": self.failed, "shed": self.shed, "late": self.late, "by_weight": weighed}


def mean_loss(losses: Sequence[Loss]) -> Loss:
    """The mean of several, part by part."""
    return Loss(
        failed=fmean(one.failed for one in losses),
        shed=fmean(one.shed for one in losses),
        late=fmean(one.late for one in losses),
    )


def is_late(after_ms: float, objective_ms: int) -> bool:
    """Whether an answer came after the objective. Without one (0) no answer is late."""
    return 0 < objective_ms < after_ms
