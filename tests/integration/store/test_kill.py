"""kill -9 at any moment: everything acknowledged is there, the chain holds, and the next process goes on."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from siteshift.adapters.store.sqlite import open_sqlite

APPENDER = Path(__file__).with_name("appender.py")
ROUNDS = 8


def run_and_kill(path: Path, lines_wanted: int) -> list[str]:
    """Everything the appender said before it was killed, after at least ``lines_wanted`` lines."""
    process = subprocess.Popen([sys.executable, APPENDER, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        while len(lines) < lines_wanted:
            line = process.stdout.readline()
            assert line, "the appender ended by itself"
            lines.append(line)
    finally:
        process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = tmp_path / "state.db"
    acknowledged: dict[int, str] = {}
    generation = 0
    for _ in range(ROUNDS):
        for line in run_and_kill(path, chance.randint(1, 60)):
            kind, *words = line.split()
            if kind == "generation":
                generation = max(generation, int(words[0]))
            else:
                acknowledged.update((int(word.split(":")[0]), word.split(":")[1]) for word in words)

        store, journal = await open_sqlite(path)
        present = {entry.sequence: entry.digest async for entry in journal.read()}
        assert acknowledged.items() <= present.items()
        assert await journal.verify() == len(present)
        remembered = await store.load()
        assert generation <= int(remembered["generation"]) <= generation + 1
        assert remembered["steering"] == remembered["generation"] * 100
        acknowledged, generation = present, int(remembered["generation"])
        await journal.close()
        await store.close()
