"""Core values as JSON-compatible documents and back: for the store, the journal and the replay.

Driven by the annotations of dataclasses and named tuples, so a new field needs no new code. Keys that are tuples of names
are joined by ``|``. Unknown fields of a document are ignored; missing ones take what their absence stands for, which is their
default where nothing else is said (`model.digest`), so that a newer node reads an older record. A value of the wrong shape raises
`ValueError` naming its path.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from siteshift.core.model.digest import before_of, later_of

T = TypeVar("T")
Document = Mapping[str, Any]


def to_document(value: object) -> Any:
    """A JSON-compatible form of a core value. Dataclasses and named tuples carry their class name in ``type``, for unions."""
    return _encode(value, _all_fields)


def to_matter(value: object) -> Any:
    """What a digest of a core value is made of: its document without later fields that do not count (`model.digest`)."""
    return _encode(value, _counting_fields)


def _encode(value: object, names_of: Callable[[object], Iterable[str]]) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    kind: Any = type(value)
    if _is_record(kind):
        return {"type": kind.__name__, **{name: _encode(getattr(value, name), names_of) for name in names_of(value)}}
    if isinstance(value, Mapping):
        return {_key_text(key): _encode(item, names_of) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(_encode(item, names_of) for item in value)
    if isinstance(value, Sequence):
        return [_encode(item, names_of) for item in value]
    raise ValueError(f"no document for a {type(value).__name__}")


def _all_fields(record: object) -> Iterable[str]:
    kind: Any = type(record)
    return _needed_by_name(kind)


def _counting_fields(record: object) -> Iterable[str]:
    kind: Any = type(record)
    silent = before_of(kind).keys() - later_of(record).keys()
    return [name for name in _needed_by_name(kind) if name not in silent]


def _key_text(key: object) -> str:
    return "|".join(key) if isinstance(key, tuple) else str(key)


def from_document(kind: type[T], document: object, path: str = "$") -> T:
    """The core value a document stands for. Raises `ValueError` with the path of what does not fit."""
    return typing.cast(T, _decode(kind, document, path))


def _decode(kind: Any, document: Any, path: str) -> Any:
    supertype = getattr(kind, "__supertype__", None)
    if supertype is not None:
        return _decode(supertype, document, path)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), document, path)
    if origin is not None:
        return _decode_generic(origin, get_args(kind), document, path)
    if _is_record(kind):
        return _decode_record(typing.cast(type, kind), document, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _decode_enum(kind, document, path)
    if kind is float and isinstance(document, int) and not isinstance(document, bool):
        return float(document)
    if kind is object or kind is Any:
        return document
    if not isinstance(document, kind) or (kind is int and isinstance(document, bool)):
        raise ValueError(f"{path}: expected {kind.__name__}, found {type(document).__name__}")
    return document


def _decode_enum(kind: type[Enum], document: Any, path: str) -> Enum:
    try:
        return kind(document)
    except ValueError:
        raise ValueError(f"{path}: {document!r} is no {kind.__name__}") from None


def _decode_union(options: tuple[Any, ...], document: Any, path: str) -> Any:
    if document is None:
        if type(None) in options:
            return None
        raise ValueError(f"{path}: expected a value, found null")
    present = [option for option in options if option is not type(None)]
    if len(present) == 1:
        return _decode(present[0], document, path)
    if isinstance(document, str | int | float) and type(document) in present:
        return document
    name = document.get("type") if isinstance(document, Mapping) else None
    for option in present:
        if getattr(option, "__name__", None) == name:
            return _decode(option, document, path)
    raise ValueError(f"{path}: no kind named {name!r} here")


def _decode_generic(origin: Any, arguments: tuple[Any, ...], document: Any, path: str) -> Any:
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(document, Mapping):
            raise ValueError(f"{path}: expected a mapping, found {type(document).__name__}")
        return {
            _decode_key(arguments[0], key, path): _decode(arguments[1], item, f"{path}.{key}")
            for key, item in document.items()
        }
    if not isinstance(document, Sequence) or isinstance(document, str):
        raise ValueError(f"{path}: expected a list, found {type(document).__name__}")
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        if len(document) != len(arguments):
            raise ValueError(f"{path}: expected {len(arguments)} values, found {len(document)}")
        return tuple(_decode(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(arguments, document, strict=True)))
    items = (_decode(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(document))
    return tuple(items) if origin is tuple else origin(items)


def _decode_key(kind: Any, key: str, path: str) -> Any:
    if get_origin(kind) is tuple:
        names = tuple(key.split("|"))
        if len(names) != len(get_args(kind)):
            raise ValueError(f"{path}: expected a key of {len(get_args(kind))} names, found {key!r}")
        return names
    return _decode_enum(kind, key, f"{path}.{key}") if isinstance(kind, type) and issubclass(kind, Enum) else key


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _is_record(kind: Any) -> bool:
    """Whether it is a dataclass or a named tuple."""
    return is_dataclass(kind) or (isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"))


@cache
def _needed_by_name(kind: Any) -> Mapping[str, bool]:
    """The names of its fields, and whether each must be given because it has no default."""
    if is_dataclass(kind):
        return {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(kind)}
    return {name: name not in kind._field_defaults for name in kind._fields}


def _decode_record(kind: type, document: Any, path: str) -> Any:
    if not isinstance(document, Mapping):
        raise ValueError(f"{path}: expected a {kind.__name__}, found {type(document).__name__}")
    hints, before = _hints(kind), before_of(kind)
    values: dict[str, Any] = {}
    for name, is_needed in _needed_by_name(kind).items():
        if name in document:
            values[name] = _decode(hints[name], document[name], f"{path}.{name}")
        elif is_needed:
            raise ValueError(f"{path}: {name} is missing")
        elif name in before:
            values[name] = before[name]
    return kind(**values)
