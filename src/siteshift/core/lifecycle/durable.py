"""What survives a death: overrides, hold-downs, steering, standbys, the off switch. Beliefs never do.

A restored node knows what it wrote and what people forced; what is *true* it has to see anew (law 3), so ``is_fresh``
starts False and every data plane is read before anything is written.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_type_hints

from siteshift.core.lifecycle.instants import shifted
from siteshift.core.model.codes import StandbyPhase
from siteshift.core.model.mark import NUMBER_END
from siteshift.core.state.codec import Document, from_document, to_document
from siteshift.core.state.controller_state import DURABLE, ControllerState, initial_state
from siteshift.core.state.tracks import StandbyTrack

FORMAT = 2
"""2: what is held as adopted, and sites left for a reason that nobody remembers."""
_READABLE = (1, 2)
_FORMER_NAMES = {"transitions": "motions"}
"""Fields that were stored under another name by earlier versions."""


RESTART_WANTED_MS = 60_000
"""A standby that was on its way when the node died is wanted for at least this long: until there is fresh evidence whether
it is needed."""


class NewerState(ValueError):
    """The state was written by a newer siteshift: to guess at it would be to lose what it says."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"the state was written by a newer siteshift (format {found}; this one reads up to {FORMAT}): start that version "
            "again, or put back a copy of the state directory made before the upgrade; nothing was changed"
        )


def remember(state: ControllerState) -> dict[str, Any]:
    """The durable part as a JSON-compatible document."""
    return {"format": FORMAT, **{name: to_document(getattr(state, name)) for name in DURABLE}}


def restore(document: Document, *, now_ms: int, shift_ms: int = 0) -> ControllerState:
    """A state to start from after a death. Raises `ValueError` naming the field that cannot be read.

    Every instant in it is moved by ``shift_ms`` (see `lifecycle.instants`). Standby members that were on their way start
    over: their drivers are asked again.
    """
    found = document.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise NewerState(found)
    if found not in _READABLE:
        raise ValueError(f"$.format: this node reads formats {_READABLE}, found {found!r}")
    hints = get_type_hints(ControllerState)
    known = {entry.name for entry in fields(ControllerState)}
    values = {
        name: from_document(hints[name], document[stored], f"$.{stored}")
        for name in DURABLE
        if (stored := name if name in document else _FORMER_NAMES.get(name, name)) in document and name in known
    }
    state = shifted(replace(initial_state(now_ms=now_ms), **values), shift_ms)
    for name, number in (("generation", state.steering.generation), ("term", state.steering.term)):
        if not 0 <= number < NUMBER_END:
            raise ValueError(f"$.steering.{name}: {number} cannot stand in a mark")
    return replace(state, standbys={m: _restarted(track, now_ms) for m, track in state.standbys.items()})


def recorded(document: Document) -> ControllerState:
    """The whole state as a journal has it, also one of an earlier version. Raises `ValueError` naming what cannot be read."""
    renamed = {name: document[former] for name, former in _FORMER_NAMES.items() if former in document and name not in document}
    return from_document(ControllerState, {**document, **renamed})


def _restarted(track: StandbyTrack, now_ms: int) -> StandbyTrack:
    """A start under way is asked for again at once: whether its driver heard of it before the node died nobody knows, and to
    ask twice is safe. Ready must be proven again, so it takes the same way. Proven stays: probes watch it."""
    if track.phase in (StandbyPhase.READY, StandbyPhase.STARTING):
        wanted_until_ms = max(track.wanted_until_ms, now_ms + RESTART_WANTED_MS)
        return StandbyTrack(phase=StandbyPhase.COLD, since_ms=now_ms, wanted_until_ms=wanted_until_ms, failures=track.failures)
    return track
