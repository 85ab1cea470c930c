"""A scenario: a world, a policy, timed events, what the run must show, and where the story comes from.

The file's form is described in ``simulations/README.md``. Loading is strict: every problem at once, with file:line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from siteshift.core.model.policy import Policy
from siteshift.sim.criteria.criterion import Criterion
from siteshift.sim.faults.acts import TimedEvent
from siteshift.sim.scenario.criteria import read_criteria
from siteshift.sim.scenario.document import (
    ScenarioDocument,
    ScenarioError,
    ScenarioProblem,
    ScenarioProblemCode,
    Value,
    parse_scenario_document,
    read_scenario_document,
)
from siteshift.sim.scenario.events import read_events
from siteshift.sim.scenario.policy import PolicyPart, read_policy
from siteshift.sim.scenario.world import names_of, read_world
from siteshift.sim.world.spec import WorldSpec

Code = ScenarioProblemCode

LASTS_S = 600
"""How long a scenario lasts when it does not say: long enough for a standby, a drain and its tail."""
MOST_S = 7 * 86_400
WARM_UP_S = 60
"""Quiet time before zero: the nodes learn their baselines, caches fill."""

_TEXTS = {"id": True, "title": True, "source": True, "link": False, "happened": True, "lesson": True}
"""Texts of the file, and whether they must be there."""
_KEYS = (*_TEXTS, "world", "policy", "lasts_s", "warm_up_s", "seed", "times_of", "events", "pass", "later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """A demand that cannot be judged yet, and what is missing. It is listed in every report and never counts as passed."""

    what: str
    needs: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Another world than the standard one to play scenarios in, and its policy. ``notes``: what is otherwise than for real."""

    world: WorldSpec
    policy: Policy
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One scenario, ready to run. ``times_of`` names the fault after which the table's times are taken; empty: the worst."""

    file: str
    id: str
    title: str
    source: str
    link: str
    happened: str
    lesson: str
    world: WorldSpec
    policy: Policy
    duration_ms: int
    warm_up_ms: int
    seed: int
    events: tuple[TimedEvent, ...]
    criteria: tuple[Criterion, ...]
    times_of: str = ""
    later: tuple[Later, ...] = ()
    notes: tuple[str, ...] = ()
    """What its world has otherwise than for real."""


def load_scenario(path: Path, over: PolicyPart | None = None, ground: Ground | None = None) -> Scenario:
    """Read one file; ``over`` is a policy laid over its own, ``ground`` the world it is played in instead of the standard one.

    Raises `ScenarioError` with every problem.
    """
    document = read_scenario_document(path)
    document.refuse()
    scenario = _read(document, over or PolicyPart(), ground)
    document.refuse()
    return scenario


def scenario_of(text: str, file: str) -> Scenario:
    """Read a scenario at hand; ``file`` is the name it has or would have. Raises `ScenarioError` with every problem."""
    document = parse_scenario_document(text.encode(), ScenarioDocument(file=file))
    document.refuse()
    scenario = _read(document, PolicyPart())
    document.refuse()
    return scenario


def load_scenarios(paths: Sequence[Path], over: PolicyPart | None = None, ground: Ground | None = None) -> list[Scenario]:
    """Read many files. Raises `ScenarioError` with the problems of all of them."""
    problems: list[ScenarioProblem] = []
    found: dict[str, Scenario] = {}
    for path in paths:
        try:
            scenario = load_scenario(path, over, ground)
        except ScenarioError as error:
            problems += error.problems
            continue
        if scenario.id in found:
            document = ScenarioDocument(file=str(path))
            document.note(Code.DUPLICATE_ID, ("id",), f"`{scenario.id}` is also the id of {found[scenario.id].file}")
            problems += document.problems
        found[scenario.id] = scenario
    if problems:
        raise ScenarioError(problems)
    return list(found.values())


def seeds_of(scenario: Scenario, first: int | None, count: int) -> tuple[int, ...]:
    """So many seeds in a row, from ``first`` or the file's own on."""
    start = scenario.seed if first is None else first
    return tuple(range(start, start + count))


def load_policy_part(path: Path) -> PolicyPart:
    """A file with one ``policy:`` section, to be laid over scenarios. Raises `ScenarioError`."""
    document = read_scenario_document(path)
    document.refuse()
    for key in document.values:
        if key != "policy":
            document.note(Code.UNKNOWN_KEY, (key,), f"`{key}` is not known in a policy file", "it has only `policy:`")
    world = read_world(document, None, ())
    part = read_policy(document, document.values.get("policy"), ("policy",), names_of(world))
    document.refuse()
    return part


def _read(document: ScenarioDocument, over: PolicyPart, ground: Ground | None = None) -> Scenario:
    values = document.values
    for key in values:
        if key not in _KEYS:
            remedy = f"known: {', '.join(_KEYS)}"
            document.note(Code.UNKNOWN_KEY, (key,), f"`{key}` is not known in a scenario", remedy)
    texts = {key: _text(document, values, key, is_needed=is_needed) for key, is_needed in _TEXTS.items()}
    stem = Path(document.file).stem
    if texts["id"] and texts["id"] != stem:
        document.note(Code.ID_NOT_FILE_NAME, ("id",), f"`{texts['id']}` is not the file's name", f"write `id: {stem}`")
    world = read_world(document, values.get("world"), ("world",), ground.world if ground is not None else None)
    names = names_of(world)
    base = ground.policy if ground is not None else Policy()
    policy = over.over(read_policy(document, values.get("policy"), ("policy",), names).over(base))
    lasts_ms = _number(document, values, "lasts_s", LASTS_S, 1, MOST_S) * 1_000
    events = read_events(document, values.get("events"), ("events",), names, policy, lasts_ms)
    labels = frozenset(event.label for event in events if event.label)
    warm_up_ms = _number(document, values, "warm_up_s", WARM_UP_S, 10, 86_400) * 1_000
    criteria = read_criteria(document, values.get("pass"), ("pass",), world, events, lasts_ms=lasts_ms, warm_up_ms=warm_up_ms)
    times_of = _text(document, values, "times_of", is_needed=False)
    if times_of and times_of not in labels:
        document.note(Code.UNKNOWN_NAME, ("times_of",), f"no event is named `{times_of}`", "name a fault of this file")
    return Scenario(
        file=document.file,
        **texts,
        world=world,
        policy=policy,
        duration_ms=lasts_ms,
        warm_up_ms=warm_up_ms,
        seed=_number(document, values, "seed", 1, 0, 2**31),
        events=events,
        criteria=criteria,
        times_of=times_of,
        later=_later(document, values.get("later")),
        notes=ground.notes if ground is not None else (),
    )


def _text(document: ScenarioDocument, values: Mapping[str, Value], key: str, *, is_needed: bool) -> str:
    value = values.get(key)
    if value is None:
        if is_needed:
            document.note(Code.MISSING, (), f"needs `{key}`", f"add `{key}:`")
        return ""
    if not isinstance(value, str):
        document.note(Code.WRONG_TYPE, (key,), "must be text")
        return ""
    return " ".join(value.split())


def _number(document: ScenarioDocument, values: Mapping[str, Value], key: str, default: int, least: int, most: int) -> int:
    value = values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        document.note(Code.WRONG_TYPE, (key,), "must be a whole number")
        return default
    if not least <= value <= most:
        document.note(Code.OUT_OF_RANGE, (key,), f"must be between {least} and {most}")
        return default
    return value


def _later(document: ScenarioDocument, value: Value) -> tuple[Later, ...]:
    if value is None:
        return ()
    found = []
    for number, entry in enumerate(value if isinstance(value, list) else [value]):
        here = ("later", number)
        if not isinstance(entry, dict) or set(entry) != {"what", "needs"}:
            remedy = "write `- {what: the second wave is refused, needs: work control}`"
            document.note(Code.WRONG_TYPE, here, "must hold `what` and `needs`", remedy)
            continue
        found.append(Later(what=str(entry["what"]), needs=str(entry["needs"])))
    return tuple(found)
