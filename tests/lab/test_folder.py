"""The lab's folder, and what the lab reads its faults from: a clear word instead of a traceback, and nothing written over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siteshift.lab.children import ChildFailed, Children
from siteshift.lab.folder import LOCK, FolderTaken, FolderUnusable, claim

SITESHIFT = str(Path(sys.executable).parent / "siteshift")


@contextmanager
def lab_up(folder: Path, stdin: int) -> Iterator[subprocess.Popen[str]]:
    """`siteshift lab up` as a process of its own; ended with the block."""
    command = [SITESHIFT, "lab", "up", "--folder", str(folder), "--load", "20"]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def until_said(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            return
    raise AssertionError("".join(said))


def test_a_second_lab_in_the_same_folder_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    """It wrote over the first one's siteshift.yaml and said that it was up, though its node had died. Its input is /dev/null, of
    which it said PermissionError."""
    folder = tmp_path / "lab"
    with lab_up(folder, subprocess.DEVNULL) as first:
        until_said(first, "the lab stays up until Ctrl-C")
        before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.yaml")}
        assert before
        with lab_up(folder, subprocess.DEVNULL) as second:
            said, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"a lab is up in {folder} already (process {first.pid})" in said and "--folder" in said
        assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.yaml")} == before
    with pytest.raises(ChildProcessError), os.fdopen(claim(folder)):
        raise ChildProcessError("it is free once the first has ended")


def test_a_folder_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "lab", Path("/proc/lab")):
        with lab_up(folder, subprocess.DEVNULL) as process:
            said, _ = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"the lab cannot keep its files in {folder}" in said and "--folder FOLDER" in said and "Traceback" not in said


def test_a_folder_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    held = claim(tmp_path)
    assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
    with pytest.raises(FolderTaken, match=f"process {os.getpid()}"):
        claim(tmp_path)
    os.close(held)
    os.close(claim(tmp_path))
    (tmp_path / "taken").write_text("")
    with pytest.raises(FolderUnusable, match="name a folder you may write"):
        claim(tmp_path / "taken")


async def test_a_child_that_died_is_not_ready_whoever_answers_in_its_place(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = children.start("node", ["sh", "-c", "echo another process holds the file; exit 3"])
    child.process.wait()
    with pytest.raises(ChildFailed, match="node ended with 3: another process holds the file"):
        await children.until_ready("node", lambda: True)


@pytest.mark.parametrize("closing", ["<&-", "< /dev/null"])
def test_a_lab_reads_from_nothing_at_all(tmp_path: Path, closing: str) -> None:
    command = f"exec {SITESHIFT} lab up --folder {tmp_path}/lab --load 20 {closing}"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            until_said(process, "the lab stays up until Ctrl-C")
        finally:
            process.send_signal(signal.SIGTERM)
