"""Records of the state that are changed several times a step."""

from __future__ import annotations

from typing import Self


class Changeable:
    """A frozen dataclass that is copied with other values at a fifth of what `dataclasses.replace` costs.

    Not slotted, for a dictionary is copied whole. Without `__post_init__`, which is not run, and without cached properties, which
    would be copied too.
    """

    def changed(self, **changes: object) -> Self:
        """A copy with these fields replaced. Raises TypeError for a name that is no field."""
        known = self.__dict__ | changes
        if len(known) != len(self.__dict__):
            names = ", ".join(sorted(changes.keys() - self.__dict__.keys()))
            raise TypeError(f"no fields of {type(self).__name__}: {names}")
        after = object.__new__(type(self))
        object.__setattr__(after, "__dict__", known)
        return after
