"""The files beside the program: unit, sysusers, examples, alert rules, dashboard, scenarios and documents.

A wheel has them in the package; in a checkout, which is installed editable, they are those of the checkout.
"""

from __future__ import annotations

from pathlib import Path

import siteshift

PARTS = ("config", "simulations", "docs")


def share() -> Path:
    """The folder that has `PARTS`."""
    package = Path(siteshift.__file__).parent
    installed = package / "share"
    return installed if installed.is_dir() else package.parents[1]


def scenarios() -> Path:
    """The outage library: that of the folder one stands in, else the one that came with the program."""
    here = Path("simulations")
    return here if here.is_dir() else share() / "simulations"
