"""What may stand in a scenario, as tables: generated from the code, so that ``simulations/README.md`` stays true."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable
from enum import Enum
from typing import Any

from siteshift.sim.criteria.register import CRITERIA
from siteshift.sim.scenario.events import FAULTS
from siteshift.sim.scenario.fields import FieldKey, keys_of, words_of

MOST_WORDS = 8


def fault_table() -> str:
    """Every fault with its arguments (those in brackets may be left out)."""
    rows = (f"| `{kind}` | {_arguments(made)} | {_first_sentence(made)} |" for kind, made in sorted(FAULTS.items()))
    return _table(("fault", "arguments", "what happens"), rows)


def criterion_table() -> str:
    """Every criterion with its arguments."""
    rows = (f"| `{name}` | {_arguments(made)} | {_first_sentence(made)} |" for name, made in sorted(CRITERIA.items()))
    return _table(("criterion", "arguments", "what must hold"), rows)


def _table(heads: tuple[str, ...], rows: Iterable[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows])


def _arguments(made: type[Any]) -> str:
    return " ".join(_argument(key) if key.is_needed else f"[{_argument(key)}]" for key in keys_of(made).values()) or "none"


def _argument(key: FieldKey) -> str:
    """The key, with the words it takes where those are few."""
    kinds = [kind for kind in (key.kind, *typing.get_args(key.kind)) if isinstance(kind, type) and issubclass(kind, Enum)]
    words = words_of(kinds[0]) if kinds else {}
    return f"{key.key}: {'/'.join(words)}" if 0 < len(words) <= MOST_WORDS else key.key


def _first_sentence(made: type[Any]) -> str:
    """The first sentence of the class's docstring in the file's own words, without the marks of reStructuredText."""
    text = " ".join(inspect.cleandoc(made.__doc__ or "").split()).replace("``", "`")
    for key in keys_of(made).values():
        text = text.replace(f"`{key.field}`", f"`{key.key}`")
    sentence = re.split(r"(?<=[.]) (?=[A-Z`])", text)[0]
    return sentence.replace("|", "/")
