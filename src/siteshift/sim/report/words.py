"""Lines of a transcript as people read them in a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from siteshift.sim.results.record import Line


def sentence(line: Line) -> str:
    """What a line says."""
    data: Mapping[str, Any] = line.data
    match line.kind:
        case "decision" if data.get("services"):
            return f"decides: {'; '.join(_moved(entry) for entry in data['services'])} (generation {data['generation']})"
        case "decision":
            return f"decides: {line.text.partition(':')[0]}"
        case "answer" if data.get("findings"):
            return f"answers {line.text.partition(' ')[0]} {'; '.join(data['findings'])}"
        case "answer":
            return f"answers {line.text}"
        case "finding":
            return f"in the way of {line.text}"
        case "life":
            return f"sees {line.text}"
        case "tell":
            return f"tells people: {line.text}"
        case _:
            return line.text


def _moved(entry: Mapping[str, Any]) -> str:
    """One service of a decision: what changes, why, and what it was held against."""
    before, after = entry["before_bp"], entry["after_bp"]
    shares = ", ".join(_share(site, before.get(site, 0), after[site]) for site in after)
    because = entry["because"]
    reasons = sorted({f"{site} {why.replace('_', ' ')}" for site, why in because.items() if why != "nominal"})
    parts = [f"{entry['service']}{_cause(entry)}: {shares}"]
    if entry["shed_bp"]:
        parts.append(f"shed {entry['shed_bp'] / 100:g} %")
    if entry["members"]:
        parts.append(f"{len(entry['members'])} members weighed anew")
    if reasons:
        parts.append(f"because {', '.join(reasons)}")
    if entry["findings"]:
        parts.append(f"checked: {', '.join(entry['findings'])}")
    return "; ".join(parts)


def _share(site: str, before_bp: int, after_bp: int) -> str:
    return f"{site} {after_bp / 100:g} %" if before_bp == after_bp else f"{site} {before_bp / 100:g} → {after_bp / 100:g} %"


def _cause(entry: Mapping[str, Any]) -> str:
    return f" ({entry['cause'].replace('_', ' ')})" if entry.get("cause") else ""
