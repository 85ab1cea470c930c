"""Numbers and words as people read them. Colour underlines what the words say and never says it alone."""

from __future__ import annotations

from rich.text import Text

GOOD, WATCH, BAD, QUIET = "green", "yellow", "bold red", "dim"

_STYLES = {
    "up": GOOD,
    "serving": GOOD,
    "in step": GOOD,
    "allowed": QUIET,
    "suspect": WATCH,
    "degraded": WATCH,
    "returning": WATCH,
    "draining": WATCH,
    "drained": WATCH,
    "needs approval": WATCH,
    "writing": WATCH,
    "held": BAD,
    "blind": BAD,
    "down": BAD,
    "refused": BAD,
    "behind": BAD,
    "unsure": BAD,
    "refusing": BAD,
    "unread": WATCH,
    "unreadable": BAD,
}


def word(value: str) -> Text:
    """A word of one of the vocabularies, in its colour."""
    plain = value.replace("_", " ")
    return Text(plain, style=_STYLES.get(plain, ""))


def percent(share_bp: int | None) -> str:
    """A share; ``unknown`` is not zero."""
    return "unknown" if share_bp is None else f"{share_bp / 100:.4g} %"


def pm_percent(value_pm: int) -> str:
    """A utilisation."""
    return f"{value_pm / 10:.3g} %"


def bar(part_bp: int, width: int) -> str:
    """A bar of blocks for a share."""
    filled = round(width * min(max(part_bp, 0), 10_000) / 10_000)
    return "█" * filled + "·" * (width - filled)
