"""The constants of the theory of load: found in its modules, and changed wherever they are used.

A constant is a whole number that a module assigns, at its top, to a name in capitals. Its unit is in its name and its reason in
the string below it. None is listed by hand, so that a new one cannot be missed.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import siteshift.core

THEORY = (
    "siteshift.core.state.carrying",
    "siteshift.core.judge.served",
    "siteshift.core.beliefs.traffic",
    "siteshift.core.beliefs.load",
    "siteshift.core.beliefs.overload",
    "siteshift.core.decide.situation",
    "siteshift.core.decide.carrying",
    "siteshift.core.decide.occasion",
    "siteshift.core.decide.shared_fate",
    "siteshift.core.decide.steering",
    "siteshift.core.plan.next_step",
    "siteshift.core.decide.allocate_all",
)
"""The modules of the theory of load (docs/adr/0020)."""
UNITS = {
    "MS": "ms",
    "PM": "per mille",
    "BP": "bp",
    "RPS": "requests/s",
    "REQUESTS": "requests",
    "DIVISOR": "divisor",
    "HOLDS": "waits",
}
"""The unit by the last word of a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """``source``: what the string below it says of where it is from; empty where there is none."""

    module: str
    name: str
    value: int
    source: str

    @property
    def id(self) -> str:
        """``carrying.FIRST_HOLD_MS``"""
        return f"{self.module.rpartition('.')[2]}.{self.name}"

    @property
    def unit(self) -> str:
        """The unit its name ends with; empty where it ends with none."""
        return UNITS.get(self.name.rpartition("_")[2], "")


def constants() -> list[Constant]:
    """All of them, in the order of the modules and their lines."""
    return [one for module in THEORY for one in constants_of(importlib.import_module(module))]


def constants_of(module: ModuleType) -> Iterator[Constant]:
    """Those of one module; what it imports belongs to another."""
    body = _tree(module).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        for name in _assigned(statement):
            value = getattr(module, name)
            if name.isupper() and type(value) is int:
                yield Constant(module=module.__name__, name=name, value=value, source=_said(following))


@contextmanager
def changed(constant: Constant, value: int) -> Iterator[None]:
    """The core with another value of it, in its module and in all that import it by name, for as long as the block lasts.

    What was reckoned of it when a module was loaded (`overload.STEADY_MS`) stays: that is a constant of its own.
    """
    places = list(_places(constant))
    for module, name in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name in places:
            setattr(module, name, constant.value)


def _places(constant: Constant) -> Iterator[tuple[ModuleType, str]]:
    """The module of the constant, and each that copied it by `from ... import`, with the name it has there."""
    _load_all()
    yield sys.modules[constant.module], constant.name
    for name, module in sorted(sys.modules.items()):
        if name.startswith("siteshift."):
            copies = [alias for *of, alias in _copied(module) if of == [constant.module, constant.name]]
            yield from ((module, alias) for alias in copies)


@cache
def _load_all() -> None:
    """A module that was loaded later would keep the changed value."""
    for found in pkgutil.walk_packages(siteshift.core.__path__, "siteshift.core."):
        importlib.import_module(found.name)


@cache
def _copied(module: ModuleType) -> tuple[tuple[str, str, str], ...]:
    """What a module imports by name at its top: from where, what, and as what."""
    return tuple(
        (statement.module or "", one.name, one.asname or one.name)
        for statement in _tree(module).body
        if isinstance(statement, ast.ImportFrom)
        for one in statement.names
    )


@cache
def _tree(module: ModuleType) -> ast.Module:
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8") if module.__file__ else "")


def _assigned(statement: ast.stmt) -> list[str]:
    """The names a statement assigns."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    names = [name for target in targets for name in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [name.id for name in names if isinstance(name, ast.Name)]


def _said(statement: ast.stmt | None) -> str:
    """The text of a string that stands alone; empty: it is none."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str):
        return " ".join(statement.value.value.split())
    return ""
