"""Templates of hooks: ``{site}`` and friends are replaced by what a member is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter

from siteshift.core.model.topology import Member

FIELDS = ("member", "service", "site", "name", "address", "port")
"""What a template may name. ``member`` is ``service/site/name``."""


def fields(member: Member) -> dict[str, str]:
    """The values of `FIELDS`."""
    return {
        "member": member.id,
        "service": member.service,
        "site": member.site,
        "name": member.name,
        "address": member.address,
        "port": str(member.port),
    }


def check(template: str) -> None:
    """Raises `ValueError` for a field that does not exist, or a brace that is left open."""
    for _, name, spec, conversion in Formatter().parse(template):
        if name is not None and (name not in FIELDS or spec or conversion):
            raise ValueError(f"{template!r}: {{{name}}} is none of {', '.join(FIELDS)}")


def fill(template: str, values: Mapping[str, str], quote: Callable[[str], str] = str) -> str:
    """The template with every field replaced by its quoted value."""
    return template.format_map({name: quote(value) for name, value in values.items()})
