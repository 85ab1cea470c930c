"""``top``: the status page, live, with what happens as it happens."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from siteshift.cli.client import NodeClient
from siteshift.cli.exits import Document, Failure, usage
from siteshift.cli.figures import BAD, QUIET
from siteshift.cli.journal import entries_since
from siteshift.cli.session import Session, node_command
from siteshift.cli.show_journal import event_text
from siteshift.cli.show_status import status_renderables

EVERY_S = 0.5
KEPT_EVENTS = 200
LEAST_EVENTS = 5
LOOK_BACK_MS = 600_000
TOO_OFTEN = frozenset({"input", "why"})


@dataclass(slots=True)
class Events:
    """What was heard last, newest at the end. Filled by a thread of its own, for the stream blocks."""

    heard: deque[Document] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    trouble: str = ""

    def listen(self, client: NodeClient) -> None:
        """Follow the stream, again whenever it ends: nodes restart."""
        while True:
            try:
                for message in client.events():
                    self.trouble = ""
                    if message["kind"] not in TOO_OFTEN:
                        self.heard.append(message)
                self.trouble = "the node ended the stream; asking again"
            except Failure as failure:
                self.trouble = failure.text
            time.sleep(EVERY_S)


@node_command
def top(session: Session) -> None:
    """The live view: status and events. Ctrl-C ends it."""
    if not session.out.is_terminal or session.is_json:
        raise usage("top needs a terminal", "Use `siteshift status` and `siteshift journal tail -f`.")
    client = session.client
    status = client.get("/v1/status")
    events = Events()
    events.heard.extend(lately(client, status["at_ms"]))
    threading.Thread(target=events.listen, args=(client,), name="events", daemon=True).start()
    trouble = ""
    try:
        with Live(console=session.out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(page(status, tuple(events.heard), trouble or events.trouble, session), refresh=True)
                time.sleep(EVERY_S)
                try:
                    status, trouble = client.get("/v1/status"), ""
                except Failure as failure:
                    trouble = failure.text
    except KeyboardInterrupt:
        return


def lately(client: NodeClient, now_ms: int) -> Sequence[Document]:
    """What the record has of the last minutes, so that the page is not empty until something happens."""
    try:
        since_ms = max(0, now_ms - LOOK_BACK_MS)
        return tuple(deque(entries_since(client, since_ms, 0, {"without": sorted(TOO_OFTEN)}), maxlen=KEPT_EVENTS))
    except Failure:
        return ()


def page(status: Document, events: Sequence[Document], trouble: str, session: Session) -> RenderableType:
    """One screen: the status, and below as many of the newest events as there is room for."""
    console = session.out
    above = list(_above(status, trouble))
    used = sum(len(console.render_lines(entry, console.options, pad=False)) for entry in above)
    room = max(LEAST_EVENTS, console.height - used - 2)
    lines = [event_text(message) for message in events[-room:]]
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*above, Text("what happens", style=QUIET), *(lines or [Text("nothing yet", style=QUIET)]))


def _above(status: Document, trouble: str) -> Iterator[RenderableType]:
    if trouble:
        yield Text(f"{trouble}. What follows is old.", style=BAD)
    yield from status_renderables(status)
