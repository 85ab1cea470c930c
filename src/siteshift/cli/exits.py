"""How a command ends: the exit codes, and failures that say what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from siteshift.errors import SiteshiftError

Document = dict[str, Any]


class ExitCode(IntEnum):
    """What a script can rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    NEEDS_APPROVAL = 4
    UNREACHABLE = 5
    MISSED = 6


MEANING = {
    ExitCode.DONE: "done, or it was so already; then a note says so",
    ExitCode.FAILED: "failed",
    ExitCode.USAGE: "the command line, a request or the configuration is wrong, or there is no such name",
    ExitCode.REFUSED: "refused: by a rule, your role, a node that does not know you, or no such digest; the code is printed",
    ExitCode.NEEDS_APPROVAL: "needs approval; who has to approve what is printed",
    ExitCode.UNREACHABLE: "the node cannot be reached, does not lead, or did not answer in time",
    ExitCode.MISSED: "a replay missed one of its criteria; which one is printed",
}


class Failure(SiteshiftError):
    """A command that did not do what was asked. ``remedy`` is what to do next; ``document`` is for ``--json``."""

    def __init__(self, exit_code: ExitCode, text: str, *, remedy: str = "", document: Document | None = None) -> None:
        self.exit_code = exit_code
        self.text = text
        self.remedy = remedy
        self.document: Document = document if document is not None else {"title": text}
        super().__init__(text)


UNKNOWN_NAME = "UNKNOWN_NAME"
_CODES = {ExitCode.USAGE: "USAGE", ExitCode.UNREACHABLE: "UNREACHABLE", ExitCode.MISSED: "MISSED"}
_HELP = "See `siteshift --help`, or --help of the command."
_RANK = ("refused", "needs_approval")


def failure_document(failure: Failure) -> Document:
    """What ``--json`` prints of a failure: what the node said, and always ``code``, ``detail``, ``remedy``, ``exit_code``.

    Where the node gave findings alone, the gravest of them says it. ``remedy`` is empty where there is none.
    """
    document = failure.document
    worst = _worst(document.get("findings", ()))
    code = document.get("code") or worst.get("code") or _CODES.get(failure.exit_code, "FAILED")
    remedy = failure.remedy or document.get("remedy") or worst.get("remedy") or _known_remedy(code)
    return {
        **document,
        "code": code,
        "detail": document.get("detail") or worst.get("text") or failure.text,
        "remedy": remedy or (_HELP if failure.exit_code is ExitCode.USAGE else ""),
        "exit_code": int(failure.exit_code),
    }


def _worst(findings: Iterable[Document]) -> Document:
    """The first of the gravest; empty where all is allowed."""
    graves = sorted((entry for entry in findings if entry["severity"] in _RANK), key=lambda entry: _RANK.index(entry["severity"]))
    return graves[0] if graves else {}


def _known_remedy(code: str) -> str:
    """What the rules say of a code; empty where it is none of theirs. The core is loaded for it alone."""
    from siteshift.core.model.remedy import REMEDIES

    return next((remedy for known, remedy in REMEDIES.items() if known.value == code), "")


def is_already(document: Document) -> bool:
    """Whether an answer says that what was asked for is so already: then there is nothing to do, and it is no failure."""
    grave = [entry for entry in document.get("findings", ()) if entry["severity"] != "allowed"]
    return bool(grave) and all(entry["code"] == "NOTHING_TO_DO" and entry["numbers"].get("already") for entry in grave)


def already_document(document: Document) -> Document:
    """What ``--json`` prints of it."""
    return {**document, "code": "NOTHING_TO_DO", "note": already_note(document), "exit_code": int(ExitCode.DONE)}


def already_note(document: Document) -> str:
    """The same for people."""
    texts = [entry["text"] for entry in document["findings"] if entry["severity"] != "allowed"]
    return f"nothing to do: {'; '.join(texts)}"


def unknown_name(kind: str, word: str, known: Iterable[str]) -> Failure:
    """There is no such name: which was meant perhaps, and which there are. The core is loaded for it alone."""
    from siteshift.core.model.spelling import unknown

    return no_such_name(unknown(kind, word, known))


def no_such_name(text: str) -> Failure:
    """There is no such name, as ``text`` says."""
    document: Document = {"title": "no such name", "code": UNKNOWN_NAME, "detail": text}
    return Failure(ExitCode.USAGE, f"{UNKNOWN_NAME}: {text}", remedy=_known_remedy(UNKNOWN_NAME), document=document)


def usage(text: str, remedy: str = "") -> Failure:
    """The command line is wrong."""
    return Failure(ExitCode.USAGE, text, remedy=remedy)


_BY_STATUS = {
    400: ExitCode.USAGE,
    401: ExitCode.REFUSED,
    403: ExitCode.REFUSED,
    409: ExitCode.NEEDS_APPROVAL,
    422: ExitCode.REFUSED,
    504: ExitCode.UNREACHABLE,
}
_BY_CODE = {"NOT_LEADER": ExitCode.UNREACHABLE, UNKNOWN_NAME: ExitCode.USAGE}

_REMEDIES = {
    401: "Have the user given a role in the configuration (`api.unix.grants`), or give a token of its `api.tokens` with "
    "--token-file.",
    403: "Ask somebody whose role allows it, or have the role raised in the configuration (`api.tokens`, `api.unix.grants`).",
    504: "It is not known whether the request counts. Look before asking again: `siteshift override list`, "
    "`siteshift journal tail --kind answer`.",
}


def exit_code_of(status: int, code: str) -> ExitCode:
    """The exit code for a problem document."""
    return _BY_CODE.get(code) or _BY_STATUS.get(status, ExitCode.FAILED)


def problem_failure(status: int, document: Document) -> Failure:
    """The failure a problem document stands for (RFC 9457)."""
    code = str(document.get("code", f"HTTP_{status}"))
    if code == UNKNOWN_NAME and "findings" not in document:
        return no_such_name(str(document.get("detail") or document.get("title") or "there is no such name"))
    text = ": ".join(part for part in (document.get("title"), document.get("detail")) if part)
    return Failure(
        exit_code_of(status, code),
        f"{code}: {text}" if text else code,
        remedy=_REMEDIES.get(status, ""),
        document=document,
    )


def unusable_configuration(problems: str) -> Failure:
    """Every problem of a configuration that cannot be used."""
    return Failure(
        ExitCode.USAGE,
        problems,
        remedy="Nothing was started or changed. Correct the file; `siteshift config check FILE` looks at it again.",
        document={"title": "the configuration cannot be used", "problems": problems.splitlines()},
    )
