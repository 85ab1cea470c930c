"""The state a node starts with: what it remembers, or what it finds when it has forgotten. The one place where that is decided.

The daemon, the simulator's nodes and whoever takes over leadership ask here; a replay starts from the state that came out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from siteshift.core.lifecycle.adopt import adopted
from siteshift.core.lifecycle.durable import restore
from siteshift.core.lifecycle.reload import pruned
from siteshift.core.model.setup import Setup
from siteshift.core.model.steering import Steering
from siteshift.core.state.adoption import AdoptedFrom
from siteshift.core.state.codec import Document
from siteshift.core.state.controller_state import ControllerState, initial_state

TOLD_OF = ("goals", "standbys")
"""What people are told of when a configuration lets go of it: it stays for the reload that comes first (`is_reload_due`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a node finds of its own past.

    ``document`` is the remembered state. ``copy`` is the last steering as kept outside the store. ``lost`` says what is
    missing though it must have been there (a store set aside as damaged, a copy that cannot be read); empty: nothing is.
    ``recorded_generation`` is the newest decision in the journal (0: none). ``shift_ms`` is what remembered instants are
    moved by, for the clock was set meanwhile (`lifecycle.instants`).
    """

    document: Document | None = None
    copy: Steering | None = None
    lost: str = ""
    recorded_generation: int = 0
    shift_ms: int = 0


def start(past: Past, setup: Setup, *, now_ms: int, term: int | None = 1) -> ControllerState:
    """The state to start from. A node that never was starts from nothing; one that has forgotten holds what it finds.

    Raises `ValueError` for a document that cannot be read (`lifecycle.durable.restore`): the caller then says it is lost.
    """
    if past.document is not None:
        state = restore(past.document, now_ms=now_ms, shift_ms=past.shift_ms)
        told_of = {name: getattr(state, name) for name in TOLD_OF}
        state = state.changed(**pruned(state, setup, now_ms) | told_of)  # the file may have changed while the node was away
    else:
        state = initial_state(now_ms=now_ms, term=term)
    copy, known = past.copy, state.steering.generation
    if copy is not None and (copy.term, copy.generation) > (state.steering.term, known):
        why = past.lost or _older(f"the second copy has generation {copy.generation}", past, known)
        return adopted(state, setup, copy, found=AdoptedFrom.COPY, why=why, now_ms=now_ms)
    if past.recorded_generation > known:
        why = past.lost or _older(f"the journal has generation {past.recorded_generation}", past, known)
        return _with_nothing_found(state, setup, why, now_ms)
    if past.document is None and past.lost:
        return _with_nothing_found(state, setup, past.lost, now_ms)
    return state


def is_reload_due(state: ControllerState, setup: Setup) -> bool:
    """Whether what is remembered was decided under another file: then the first event is a reload, on record like any."""
    return state.setup_digest != setup.digest


def _with_nothing_found(state: ControllerState, setup: Setup, why: str, now_ms: int) -> ControllerState:
    """Nothing tells what the steering was: what is remembered stays, and the data planes may tell more."""
    if state.steering.generation > 0:
        return adopted(state, setup, state.steering, found=AdoptedFrom.NOWHERE, why=why, now_ms=now_ms)
    return adopted(state, setup, None, found=AdoptedFrom.NOWHERE, why=why, now_ms=now_ms)


def _older(newer: str, past: Past, known: int) -> str:
    if past.document is None:
        return f"the store is empty, and {newer}"
    return f"{newer}, and the store remembers {known}: it is older"


def taken_over(mine: ControllerState, document: Document | None, *, now_ms: int) -> ControllerState:
    """A new leader's state: what the last one remembered, with this node's own beliefs. The planes are read anew."""
    if document is None:
        return mine
    return replace(
        restore(document, now_ms=now_ms),
        term=None,
        started_ms=mine.started_ms,
        reports=mine.reports,
        picture=mine.picture,
        is_fresh=mine.is_fresh,
        traffic=mine.traffic,
        demand=mine.demand,
        is_store_usable=mine.is_store_usable,
    )
