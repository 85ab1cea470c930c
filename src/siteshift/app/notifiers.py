"""Makes what tells people."""

from __future__ import annotations

import os
from typing import Protocol, assert_never

from siteshift.adapters.notify.command import CommandNotifier
from siteshift.adapters.notify.log import LogNotifier
from siteshift.adapters.notify.webhook import WebhookNotifier
from siteshift.config.setups import CommandNotifierSetup, LogNotifierSetup, NotifierSetup, WebhookSetup
from siteshift.ports import Notifier


class ClosableNotifier(Notifier, Protocol):
    """Our notifiers keep connections."""

    async def close(self) -> None: ...


def make_notifier(setup: NotifierSetup, node: str, cluster: str) -> ClosableNotifier:
    """One notifier. Raises `SecretUnavailable`."""
    match setup:
        case WebhookSetup():
            url = setup.url_secret.resolve() if setup.url_secret else setup.url
            headers = {"Authorization": f"Bearer {setup.token.resolve()}"} if setup.token else None
            return WebhookNotifier(url, node=node, cluster=cluster, headers=headers)
        case CommandNotifierSetup():
            environment = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
            return CommandNotifier(setup.argv, node=node, cluster=cluster, environment=environment)
        case LogNotifierSetup():
            return LogNotifier(node=node, cluster=cluster)
        case _:
            assert_never(setup)
