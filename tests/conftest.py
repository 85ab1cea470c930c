"""What all tests share.

Property tests draw the same examples every time: a change is judged by itself, not by chance, nor by what else was
collected. `SITESHIFT_EXPLORE=1` draws anew (and `make fuzz` explores without end); what it finds becomes a test.
"""

from __future__ import annotations

import os

from hypothesis import settings
from hypothesis.internal.conjecture import providers

settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False)

if os.environ.get("SITESHIFT_EXPLORE"):
    settings.load_profile("explore")
else:
    settings.load_profile("same")
    # Hypothesis mixes in the constants it finds in the source of every module that happens to be imported; with them the
    # examples change with the tests that run beside, and with every number we edit. There is no setting for it.
    no_constants = providers.Constants()
    providers._get_local_constants = lambda: no_constants
