"""Servers that stand for members and anchors inside the small machine: nothing but Python's own library.

    python3 members_inside.py ADDRESS:PORT ...
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from sys import argv
from threading import Thread

PAGES = {"/healthz": b"ok", "/login?user=probe": b"session=c0ffee", "/basket?session=c0ffee": b"your basket", "/": b"hello"}


class Answer(BaseHTTPRequestHandler):
    """What a healthy member says; 404 to the rest."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = PAGES.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    for place in argv[1:]:
        host, _, port = place.rpartition(":")
        Thread(target=ThreadingHTTPServer((host, int(port)), Answer).serve_forever).start()
