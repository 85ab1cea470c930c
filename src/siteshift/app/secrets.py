"""Every secret of a configuration, wherever it stands in the file: found by its type, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from pydantic import BaseModel

from siteshift.config import SecretRef


def secret_refs(thing: object) -> Iterator[SecretRef]:
    """Every reference in a configuration, a section of it, or an adapter's setup."""
    match thing:
        case SecretRef():
            yield thing
        case BaseModel():
            for name in type(thing).model_fields:
                yield from secret_refs(getattr(thing, name))
        case Mapping():
            for value in thing.values():
                yield from secret_refs(value)
        case tuple() | list():
            for entry in thing:
                yield from secret_refs(entry)
        case _ if is_dataclass(thing):
            for field in fields(thing):
                yield from secret_refs(getattr(thing, field.name))
        case _:
            return


def secrets_of(thing: object) -> Mapping[str, str]:
    """Reference → plain text, for the log's redaction and to see that a secret changed. Never printed.

    Raises `SecretUnavailable`. Reads files: not for the loop.
    """
    refs = {str(ref): ref for ref in secret_refs(thing)}
    return {name: ref.resolve_bytes().decode("utf-8", "replace") for name, ref in refs.items()}
