"""Makes what tells people."""

from __future__ import annotations

import os
from typing import assert_never

from siteshift.adapters.notify.command import CommandNotifier
from siteshift.adapters.notify.log import LogNotifier
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.app.least import LeastSeverity
from siteshift.config.setups import CommandNotifierSetup, LogNotifierSetup, NotifierSetup, WebhookSetup
from siteshift.ports import Clock


def make_notifier(setup: NotifierSetup, clock: Clock, node: str) -> LeastSeverity:
    """One notifier, deaf to what is less than it was asked for. Raises `SecretUnavailable`."""
    match setup:
        case WebhookSetup():
            url = setup.url_secret.resolve() if setup.url_secret else setup.url
            headers = {"Authorization": f"Bearer {setup.token.resolve()}"} if setup.token else None
            return LeastSeverity(setup.least, WebhookNotifier(url, clock=clock, node=node, headers=headers))
        case CommandNotifierSetup():
            environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
            return LeastSeverity(setup.least, CommandNotifier(setup.argv, clock=clock, node=node, environment=environment))
        case LogNotifierSetup():
            return LeastSeverity(setup.least, LogNotifier(node=node))
        case _:
            assert_never(setup)
