"""What all tests share.

Property tests draw the same examples every time: a change is judged by itself, not by chance. `SITESHIFT_EXPLORE=1`
draws anew (and `make fuzz` explores without end); what it finds becomes a test.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("explore", derandomize=False)
settings.load_profile("explore" if os.environ.get("SITESHIFT_EXPLORE") else "same")
