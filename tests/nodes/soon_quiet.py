"""``siteshift`` in which a quiet minute lasts two seconds: so long after it did something it writes every reading down.

    python soon_quiet.py run --config FILE
"""

from __future__ import annotations

from siteshift.cli.program import app
from siteshift.runtime import record

if __name__ == "__main__":
    record.TELLING_MS = 2_000
    app()
