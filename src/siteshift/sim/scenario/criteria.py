"""The `pass:` of a scenario: a list of criteria from the register, with their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from siteshift.sim.criteria.conduct import TOLD_CODES, Told
from siteshift.sim.criteria.criterion import CRITERIA, Criterion
from siteshift.sim.criteria.limits import cannot_fail
from siteshift.sim.criteria.outcome import FOREVER_MS
from siteshift.sim.criteria.register import EVERYWHERE
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.scenario.document import ScenarioDocument, ScenarioProblemCode, Spot, Value
from siteshift.sim.scenario.fields import Names, Unfit, convert, keys_of, note_missing, read_fields
from siteshift.sim.scenario.reach import Span, beyond_reach
from siteshift.sim.scenario.world import names_of
from siteshift.sim.world.spec import WorldSpec

Code = ScenarioProblemCode


def read_criteria(
    document: ScenarioDocument,
    value: Value,
    spot: Spot,
    world: WorldSpec,
    events: Sequence[TimedEvent],
    *,
    lasts_ms: int,
    warm_up_ms: int,
) -> tuple[Criterion, ...]:
    """Read the list and add what holds everywhere, unless the file sets its own limit. Problems are noted."""
    names = names_of(world)
    labels = frozenset(event.label for event in events if event.label)
    span = Span(world=world, events=tuple(events), lasts_ms=lasts_ms, warm_up_ms=warm_up_ms)
    if not isinstance(value, list):
        document.note(Code.MISSING if value is None else Code.WRONG_TYPE, spot, "must be a list of criteria")
        return ()
    found: list[Criterion] = []
    for number, entry in enumerate(value):
        here = (*spot, number)
        if not isinstance(entry, dict) or len(entry) != 1:
            document.note(Code.WRONG_TYPE, here, "must hold one criterion", "write `- t95_s: 120`")
            continue
        ((name, argument),) = entry.items()
        made = CRITERIA.get(name)
        if made is None:
            remedy = f"known: {', '.join(sorted(CRITERIA))}"
            document.note(Code.UNKNOWN_CRITERION, (*here, name), f"there is no criterion `{name}`", remedy)
            continue
        read = _one(document, made, name, argument, (*here, name), names)
        if read is None:
            continue
        _check_label(document, read, (*here, name), labels)
        _check_instants(document, read, (*here, name), lasts_ms)
        if isinstance(read, Told) and read.code not in TOLD_CODES:
            remedy = f"known: {', '.join(sorted(TOLD_CODES))}"
            document.note(Code.OUT_OF_RANGE, (*here, name, "code"), f"nobody is ever told `{read.code}`", remedy)
        why = cannot_fail(read, world, lasts_ms=lasts_ms, warm_up_ms=warm_up_ms) or beyond_reach(read, span)
        if why:
            document.note(Code.CANNOT_FAIL, (*here, name), f"`{name}` {why}", "set a limit that a run can miss, or leave it out")
        found.append(read)
    given = {entry.NAME for entry in found}
    return (*found, *(entry for entry in EVERYWHERE if entry.NAME not in given))


def _one(document: ScenarioDocument, made: type[Any], name: str, argument: Value, spot: Spot, names: Names) -> Criterion | None:
    keys = keys_of(made)
    what = f"the criterion `{name}`"
    before = len(document.problems)
    if isinstance(argument, Mapping):
        found = read_fields(document, argument, spot, keys, names, what=what)
        note_missing(document, argument, spot, keys, what=what)
    else:
        first = next(iter(keys.values()))
        others = [key.key for key in keys.values() if key.is_needed and key is not first]
        found = {}
        if others:
            document.note(Code.MISSING, spot, f"{what} needs {', '.join(others)}", f"write `{name}: {{{first.key}: …}}`")
        else:
            try:
                found = {first.field: convert(argument, first.kind, first.factor, names)}
            except Unfit as unfit:
                document.note(unfit.code, spot, str(unfit), unfit.remedy)
    if len(document.problems) > before:
        return None
    criterion: Criterion = made(**found)
    return criterion


def _check_label(document: ScenarioDocument, read: Criterion, spot: Spot, labels: frozenset[str]) -> None:
    label = getattr(read, "after", "")
    if label and label not in labels:
        remedy = f"named in this file: {', '.join(sorted(labels)) or 'none; give an event a `name:`'}"
        document.note(Code.UNKNOWN_NAME, (*spot, "after"), f"no event is named `{label}`", remedy)


def _check_instants(document: ScenarioDocument, read: Criterion, spot: Spot, lasts_ms: int) -> None:
    for field in ("at_ms", "from_ms", "until_ms"):
        value = getattr(read, field, None)
        if isinstance(value, int) and lasts_ms < value < FOREVER_MS:
            key = field.replace("_ms", "_s")
            document.note(Code.AFTER_THE_END, (*spot, key), f"the scenario ends at {lasts_ms / 1000:g} s")
