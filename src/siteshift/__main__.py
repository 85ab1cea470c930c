"""``python -m siteshift``."""

from siteshift.cli import main

if __name__ == "__main__":
    main()
