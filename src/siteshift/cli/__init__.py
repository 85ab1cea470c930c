"""The command line ``siteshift``."""

from siteshift.cli.program import main

__all__ = ["main"]
