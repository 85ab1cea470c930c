"""The file as a tree of plain values, each with the place where it stands.

YAML is composed by PyYAML (marks for every node) and built here: scalars by the core schema of YAML 1.2, duplicate keys
refused, anchors, aliases and ``<<`` allowed within a budget that a "billion laughs" cannot pass. Keys at the top that
begin with ``x-`` are free for anchors and are left out.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import yaml

from siteshift.config.problem import Path, Problem, ProblemCode, path_text
from siteshift.config.scalars import plain_scalar

MAX_BYTES = 4 * 1024 * 1024
"""10,000 members with probes fit in 2 MiB; a larger file is a mistake."""
MAX_DEPTH = 32
"""The model is 9 levels deep."""
MAX_VALUES = 400_000
"""Values after the expansion of aliases."""

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
Place = tuple[int, int]
"""Line and column, from 1."""

_FREE_KEY = "x-"
_TEXT_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset({_TEXT_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Document:
    """The values, and where each key and value stands. ``problems`` are those of YAML itself."""

    file: str
    values: dict[str, Value] = field(default_factory=dict)
    value_places: dict[Path, Place] = field(default_factory=dict)
    key_places: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    damaged: set[Path] = field(default_factory=set)
    """Values that could not be built; their problem is noted already."""

    def place(self, path: Path) -> Place:
        """Where the value at ``path`` stands, or the nearest thing around it that stands anywhere."""
        return self._nearest(path, self.value_places)

    def key_place(self, path: Path) -> Place:
        """Where the key at ``path`` stands; for list items their value."""
        return self.key_places.get(path) or self.value_places.get(path) or self.key_place_around(path)

    def key_place_around(self, path: Path) -> Place:
        """Where the nearest thing around ``path`` begins: its key for a mapping's entry, itself for a list's item."""
        for length in range(len(path) - 1, 0, -1):
            if place := self.key_places.get(path[:length]) or self.value_places.get(path[:length]):
                return place
        return (1, 1)

    def problem(self, code: ProblemCode, path: Path, message: str, remedy: str = "", *, place: Place | None = None) -> Problem:
        line, column = place or self.place(path)
        return Problem(
            code=code,
            file=self.file,
            line=line,
            column=column,
            path=path_text(path),
            message=message,
            remedy=remedy,
        )

    def _nearest(self, path: Path, places: dict[Path, Place]) -> Place:
        for length in range(len(path), 0, -1):
            if place := places.get(path[:length]):
                return place
        return (1, 1)


class _Refused(Exception):
    """The rest of the document cannot be trusted; the problem has been noted."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # either loader, the same interface
    """Composes only; every plain scalar stays text until `plain_scalar` looks at it."""

    yaml_implicit_resolvers: dict[str, list[object]] = {}  # noqa: RUF012 (PyYAML's name and form)


def read_document(path: FilePath) -> Document:
    """Read the file. Never raises: what is wrong stands in ``problems``; ``values`` holds what could be read."""
    document = Document(file=str(path))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            document.problems.append(document.problem(ProblemCode.UNREADABLE, (), "not a regular file"))
            return document
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        remedy = "check the path and that the user of siteshift may read it"
        document.problems.append(document.problem(ProblemCode.UNREADABLE, (), f"cannot be read: {reason}", remedy))
        return document
    return parse_document(raw, file=str(path))


def parse_document(raw: bytes, *, file: str) -> Document:
    """Like `read_document`, of bytes at hand."""
    document = Document(file=file)
    if len(raw) > MAX_BYTES:
        message = f"larger than {MAX_BYTES // 1024 // 1024} MiB"
        document.problems.append(document.problem(ProblemCode.TOO_LARGE, (), message, "is this the right file?"))
        return document
    text = _decode(raw, document)
    if text is None:
        return document
    root = _compose(text, document)
    if root is None:
        return document
    builder = _Builder(document)
    try:
        value = builder.build(root, ())
    except _Refused:
        return document
    if isinstance(value, dict):
        document.values = value
    else:
        message = "the file must hold one mapping (`node:`, `sites:`, `services:`, ...)"
        document.problems.append(document.problem(ProblemCode.NOT_A_MAPPING, (), message, "start from an example"))
    return document


def _decode(raw: bytes, document: Document) -> str | None:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = (before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        remedy = "save the file as UTF-8"
        document.problems.append(document.problem(ProblemCode.NOT_UTF8, (), message, remedy, place=place))
        return None


def _compose(text: str, document: Document) -> yaml.Node | None:
    """The node tree, or None with a problem noted. Depth is checked on the events first: composing recurses."""
    try:
        documents = depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    message = "a second document begins here"
                    _refuse(document, ProblemCode.NOT_A_MAPPING, _place(event), message, "remove the `---`")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                depth += 1
                if depth > MAX_DEPTH:
                    message = f"nested more than {MAX_DEPTH} levels deep"
                    _refuse(document, ProblemCode.TOO_COMPLEX, _place(event), message, "check brackets and indentation")
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                depth -= 1
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except _Refused:
        return None
    except yaml.YAMLError as error:
        document.problems.append(_syntax_problem(error, document))
        return None
    if root is None:
        message = "the file is empty"
        document.problems.append(document.problem(ProblemCode.NOT_A_MAPPING, (), message, "start from an example"))
    return root


def _refuse(document: Document, code: ProblemCode, place: Place, message: str, remedy: str) -> None:
    """Note a problem after which the document cannot be read on."""
    document.problems.append(document.problem(code, (), message, remedy, place=place))
    raise _Refused


def _syntax_problem(error: yaml.YAMLError, document: Document) -> Problem:
    """The problem and its place; never the snippet, which might show a secret."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return document.problem(ProblemCode.SYNTAX, (), "unreadable as YAML: a character that may not stand there")
    mark = error.problem_mark or error.context_mark
    place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    parts = [part for part in (error.context, error.problem) if part]
    remedy = "check indentation (spaces, no tabs), colons and quotes here and in the line above"
    return document.problem(ProblemCode.SYNTAX, (), ": ".join(parts), remedy, place=place)


def _place(thing: yaml.Node | yaml.Event) -> Place:
    mark = thing.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Builder:
    """Turns nodes into values and notes places and problems."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._open: set[int] = set()
        self._count = 0
        self._entry: Place = (1, 1)
        """The entry of the top mapping that is being built: an alias itself has no place in the composed tree."""

    def build(self, node: yaml.Node, path: Path) -> Value:
        place = _place(node)
        self._document.value_places[path] = place
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            message = f"more than {MAX_VALUES:,} values once the aliases are expanded"
            _refuse(self._document, ProblemCode.TOO_COMPLEX, self._entry, message, "use fewer aliases")
        if node.tag not in _PLAIN_TAGS:
            self._note(ProblemCode.TAG, path, f"the tag {_shown_tag(node.tag)} is not allowed", "remove the tag")
            self._document.damaged.add(path)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            _refuse(self._document, ProblemCode.TOO_COMPLEX, place, "an alias contains itself", "remove the alias")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Value:
        text: str = node.value
        if _SURROGATE.search(text):
            self._note(ProblemCode.NOT_TEXT, path, "holds half of a surrogate pair", "write the character itself")
            self._document.damaged.add(path)
            return None
        return plain_scalar(text) if not node.style else text

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Value]:
        built: dict[str, Value] = {}
        own: dict[str, Place] = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            if key == "<<" and not key_node.style:
                merged.extend(self._merge_sources(value_node, path))
                continue
            if key in own:
                message = f"`{key}` stands twice here, first in line {own[key][0]}"
                self._note(ProblemCode.DUPLICATE_KEY, (*path, key), message, "keep one", place=_place(key_node))
                continue
            own[key] = _place(key_node)
            if not path:
                self._entry = own[key]
            if not path and key.startswith(_FREE_KEY):
                self._look_only(value_node, (key,))
                continue
            self._document.key_places[(*path, key)] = own[key]
            built[key] = self.build(value_node, (*path, key))
        for source in merged:
            for key, key_node, value_node in self._merged_entries(source, path):
                if key not in built:
                    self._document.key_places[(*path, key)] = _place(key_node)
                    built[key] = self.build(value_node, (*path, key))
        return built

    def _look_only(self, node: yaml.Node, path: Path) -> None:
        """Check a free key's value for YAML problems; nothing of it is kept."""
        aside = _Builder(Document(file=self._document.file))
        aside._count, aside._entry = self._count, self._entry
        try:
            aside.build(node, path)
        finally:
            self._document.problems.extend(aside._document.problems)
            self._count = aside._count

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        plain = isinstance(node, yaml.ScalarNode) and node.tag == _TEXT_TAG
        if plain and not _SURROGATE.search(node.value):
            return str(node.value)
        self._note(ProblemCode.NOT_TEXT, path, "a key that is not text", "write the key as a word", place=_place(node))
        return None

    def _merge_sources(self, node: yaml.Node, path: Path) -> Iterator[yaml.Node]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode):
                yield source
            else:
                message = "`<<` takes a mapping, or a list of mappings"
                self._note(ProblemCode.WRONG_TYPE, (*path, "<<"), message, "name an anchor", place=_place(source))

    def _merged_entries(self, source: yaml.Node, path: Path) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        if id(source) in self._open:
            place = _place(source)
            _refuse(self._document, ProblemCode.TOO_COMPLEX, place, "an alias contains itself", "remove the alias")
        self._open.add(id(source))
        try:
            for key_node, value_node in source.value:
                key = self._key(key_node, path)
                if key == "<<" and not key_node.style:
                    for inner in self._merge_sources(value_node, path):
                        yield from self._merged_entries(inner, path)
                elif key is not None:
                    yield key, key_node, value_node
        finally:
            self._open.discard(id(source))

    def _note(self, code: ProblemCode, path: Path, message: str, remedy: str, *, place: Place | None = None) -> None:
        self._document.problems.append(self._document.problem(code, path, message, remedy, place=place))


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
