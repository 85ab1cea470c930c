"""Where the checks put what they find. Anything that hangs on a tainted value is left unsaid: its problem is noted."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from siteshift.config.document import Document
from siteshift.config.problem import Path, Problem, ProblemCode
from siteshift.config.salvage import Salvaged
from siteshift.core.model.spelling import nearest


class At(Enum):
    """What of a path a problem points to."""

    VALUE = "value"
    KEY = "key"


class Findings:
    """Collects problems. Paths are those of the model; they are translated to the document's."""

    def __init__(self, document: Document, salvaged: Salvaged) -> None:
        self._document = document
        self._salvaged = salvaged
        self.problems: list[Problem] = []

    def note(
        self,
        code: ProblemCode,
        path: Path,
        message: str,
        remedy: str = "",
        *,
        depends: Iterable[Path] = (),
        below: Iterable[Path] = (),
        at: At = At.VALUE,
    ) -> None:
        """Note a problem at ``path``. ``depends`` are other values it follows from, ``below`` whole parts."""
        if self.tainted(path) or any(map(self.tainted, depends)) or any(map(self.holds_taint, below)):
            return
        origin = self._salvaged.origin(path)
        place = self._document.key_place(origin) if at is At.KEY else self._document.place(origin)
        self.problems.append(self._document.problem(code, origin, message, remedy, place=place))

    def tainted(self, path: Path) -> bool:
        """Whether the value, or something around it, was replaced."""
        origin = self._salvaged.origin(path)
        return any(origin[:length] in self._salvaged.tainted for length in range(1, len(origin) + 1))

    def holds_taint(self, path: Path) -> bool:
        """Whether anything at or below ``path`` was replaced or left out."""
        origin = self._salvaged.origin(path)
        below = any(tainted[: len(origin)] == origin for tainted in self._salvaged.tainted)
        return below or self.tainted(path)

    def whole(self, path: Path) -> bool:
        """Whether a list still has all items that the document has."""
        origin = self._salvaged.origin(path)
        items = {found[len(origin)] for found in self._salvaged.tainted if found[: len(origin)] == origin != found}
        listed = {item for item in items if isinstance(item, int) and (*origin, item) in self._salvaged.tainted}
        return not listed and not self.tainted(path)

    def line(self, path: Path) -> int:
        """The line a value stands in, for messages that point to two places."""
        return self._document.place(self._salvaged.origin(path))[0]

    def given(self, path: Path) -> bool:
        """Whether the file itself says something at ``path`` (instead of leaving the default)."""
        return self._salvaged.origin(path) in self._document.value_places

    def names(self, kind: str, code: ProblemCode, listing: Path, ids: Iterable[str]) -> Names:
        """The ids of a list, those of broken items included."""
        known = list(ids)
        lost = self._salvaged.lost_ids.get(listing, set())
        unsure = self.tainted(listing) or "" in lost
        unsure = unsure or any(self.tainted((*listing, index, "id")) for index in range(len(known)))
        return Names(self, kind, code, {*known, *lost} - {""}, Certainty.UNSURE if unsure else Certainty.SURE)


class Certainty(Enum):
    """Whether all ids of a kind are known; if not, nobody can say that one does not exist."""

    SURE = "sure"
    UNSURE = "unsure"


class Names:
    """The ids of one kind of thing, to check references against."""

    def __init__(self, findings: Findings, kind: str, code: ProblemCode, known: set[str], certainty: Certainty) -> None:
        self._findings = findings
        self._kind = kind
        self._code = code
        self._certainty = certainty
        self.known = known

    def give_up(self) -> None:
        """Not all of them can be known."""
        self._certainty = Certainty.UNSURE

    def check(self, name: str, path: Path) -> None:
        """Note a problem when ``name`` is none of them."""
        if name in self.known or self._certainty is Certainty.UNSURE:
            return
        close = nearest(name, self.known)
        listed = ", ".join(f"`{known}`" for known in sorted(self.known)[:8])
        remedy = f"did you mean '{close}'?" if close else f"there are: {listed}" if listed else "none is defined"
        self._findings.note(self._code, path, f"no {self._kind} '{name}'", remedy)
