"""What the core keeps of itself and of the world is read by something: a field that nothing reads is a promise nobody keeps.

By name: two classes with a field of the same name cover each other. What goes through the codec, a comparison or `replace` as a
whole is not read by that: nothing hangs on what it says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import siteshift
import siteshift.core

SRC, CORE = Path(siteshift.__file__).parent, Path(siteshift.core.__file__).parent


def fields(source: str) -> Iterator[tuple[str, str]]:
    """Class and field of every dataclass and named tuple."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and _is_record(node):
            for entry in node.body:
                if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name) and not _is_of_class(entry):
                    yield node.name, entry.target.id


def _is_record(node: ast.ClassDef) -> bool:
    decorators = [ast.unparse(entry) for entry in node.decorator_list]
    return any(text.startswith("dataclass") for text in decorators) or "NamedTuple" in map(ast.unparse, node.bases)


def _is_of_class(entry: ast.AnnAssign) -> bool:
    return ast.unparse(entry.annotation).startswith("ClassVar")


def names_read(source: str) -> Iterator[str]:
    """Names of attributes that are read, matched, or asked for by a name that is written down."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(attr=name, ctx=ast.Load()):
                yield name
            case ast.MatchClass(kwd_attrs=found):
                yield from found
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str() as name), *_]):
                yield name


def unread(records: Iterable[str], readers: Iterable[str]) -> set[tuple[str, str]]:
    """Fields of the ``records`` that none of the ``readers`` reads."""
    read = {name for source in readers for name in names_read(source)}
    return {(owner, name) for source in records for owner, name in fields(source) if name not in read}


def sources(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]


def test_every_field_of_the_core_is_read_somewhere() -> None:
    assert unread(sources(CORE), sources(SRC)) == set()


def test_a_field_that_nobody_reads_would_be_found() -> None:
    record = "@dataclass(frozen=True)\nclass A:\n    one: int\n    two: int\n    three: int\n    four: int\n    K: ClassVar\n"
    reader = "a.one\nmatch a:\n    case A(two=2): ...\ngetattr(a, 'three')\na.four = 4\nA(four=4)\n"
    assert unread([record], [reader]) == {("A", "four")}
