"""Where the node is found, and what is said when nobody is there."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from nodes.command_line import run
from siteshift.cli.client import _UnixConnection
from siteshift.cli.exits import ExitCode, Failure, exit_code_of, problem_failure
from siteshift.cli.reach import SOCKET, GivenAddress, TlsPlace, UnixPlace, find_place


def test_the_command_line_wins_over_the_environment(tmp_path: Path) -> None:
    environment = {"SITESHIFT_URL": "https://elsewhere:8443"}
    assert find_place(GivenAddress(socket=tmp_path / "a"), environment) == UnixPlace(path=tmp_path / "a")


def test_the_environment_wins_over_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "siteshift.yaml"
    config.write_text("api: {unix: {path: /from/config}}\n")
    assert find_place(GivenAddress(), {"SITESHIFT_SOCKET": "/from/env"}, config) == UnixPlace(path=Path("/from/env"))
    assert find_place(GivenAddress(), {}, config) == UnixPlace(path=Path("/from/config"))


@pytest.mark.parametrize("text", ["", "api: 3\n", "api: [\n", "api: {unix: {path: 7}}\n"])
def test_a_configuration_that_says_nothing_leaves_the_usual_place(text: str, tmp_path: Path) -> None:
    config = tmp_path / "siteshift.yaml"
    config.write_text(text)
    assert find_place(GivenAddress(), {}, config) == UnixPlace(path=SOCKET)
    assert find_place(GivenAddress(), {}, tmp_path / "none") == UnixPlace(path=SOCKET)


def test_a_token_is_read_from_its_file(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("long-enough-a-secret\n")
    place = find_place(GivenAddress(url="https://node.example:8443", token_file=token), {})
    assert place == TlsPlace(host="node.example", port=8443, token="long-enough-a-secret", ca=None)


@pytest.mark.parametrize("url", ["http://node:8443", "node:8443", "https://", "https://node:nine", "https://node/v1"])
def test_an_address_that_cannot_be_one(url: str) -> None:
    with pytest.raises(Failure) as caught:
        find_place(GivenAddress(url=url), {})
    assert caught.value.exit_code is ExitCode.USAGE


def test_two_ways_at_once_are_one_too_many() -> None:
    assert run("status", "--socket", "/a", "--url", "https://b").code == ExitCode.USAGE


def test_what_stands_at_the_command_wins_over_what_stands_before_it(tmp_path: Path) -> None:
    ended = run("--url", "https://node.invalid", "status", "--socket", str(tmp_path / "none.sock"))
    assert str(tmp_path / "none.sock") in ended.err


def test_nobody_there_is_unreachable_and_says_what_to_do(tmp_path: Path) -> None:
    ended = run("status", "--socket", str(tmp_path / "none.sock"))
    assert ended.code == ExitCode.UNREACHABLE
    assert "systemctl status siteshift" in ended.err
    assert run("--json", "status", "--socket", str(tmp_path / "none.sock")).document["exit_code"] == ExitCode.UNREACHABLE


def test_a_full_queue_is_tried_again_until_there_is_room(tmp_path: Path) -> None:
    """Linux refuses a Unix connection at once (EAGAIN) while the listener's queue is full: a crowd, or a busy moment."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as crowd:
        listener.bind(str(path))
        listener.listen(0)
        crowd.connect(str(path))
        room = threading.Timer(0.3, listener.accept)
        room.start()
        with closing(_UnixConnection(str(path), 30.0)) as connection:
            connection.connect()
            assert connection.sock is not None
        room.join()
        with pytest.raises(BlockingIOError):
            _UnixConnection(str(path), 0.1).connect()


def test_an_answer_that_was_lost_is_neither_done_nor_failed(tmp_path: Path) -> None:
    """The peer takes the request and hangs up: nobody knows whether it counts (law 10)."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=_take_and_hang_up, args=(listener,))
        thread.start()
        ended = run("switch", "off", "--socket", str(path))
        thread.join()
    assert ended.code == ExitCode.UNREACHABLE
    assert "not known whether the request counts" in ended.err
    assert "siteshift override list" in ended.err


def _take_and_hang_up(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65_536)


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "BAD_REQUEST", ExitCode.USAGE),
        (401, "UNKNOWN_PERSON", ExitCode.REFUSED),
        (403, "NOT_ALLOWED", ExitCode.REFUSED),
        (404, "UNKNOWN_NAME", ExitCode.USAGE),
        (404, "HTTP_404", ExitCode.FAILED),
        (409, "CAPACITY_SHORT", ExitCode.NEEDS_APPROVAL),
        (422, "LAST_SERVING_SITE", ExitCode.REFUSED),
        (422, "NOT_LEADER", ExitCode.UNREACHABLE),
        (500, "INTERNAL", ExitCode.FAILED),
        (504, "NO_ANSWER", ExitCode.UNREACHABLE),
    ],
)
def test_problems_have_their_exit_code(status: int, code: str, exit_code: ExitCode) -> None:
    assert exit_code_of(status, code) is exit_code
    assert problem_failure(status, {"code": code, "title": "no"}).exit_code is exit_code


def test_who_may_not_is_told_how_he_might() -> None:
    assert "--token-file" in problem_failure(401, {"code": "UNKNOWN_PERSON"}).remedy
    assert "override list" in problem_failure(504, {"code": "NO_ANSWER"}).remedy
