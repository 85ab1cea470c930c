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
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed, or your role does not allow it",
    ExitCode.USAGE: "the command line, a request or the configuration is wrong",
    ExitCode.REFUSED: "refused by a rule, or there is no such name or digest; the code is printed",
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


def unknown_name(text: str) -> Failure:
    """There is no such name; ``text`` names those there are."""
    document: Document = {"title": "no such name", "code": UNKNOWN_NAME, "detail": text}
    return Failure(ExitCode.REFUSED, f"{UNKNOWN_NAME}: {text}", remedy=_known_remedy(UNKNOWN_NAME), document=document)


def usage(text: str, remedy: str = "") -> Failure:
    """The command line is wrong."""
    return Failure(ExitCode.USAGE, text, remedy=remedy)


_BY_STATUS = {
    400: ExitCode.USAGE,
    401: ExitCode.FAILED,
    403: ExitCode.FAILED,
    409: ExitCode.NEEDS_APPROVAL,
    422: ExitCode.REFUSED,
    504: ExitCode.UNREACHABLE,
}
_BY_CODE = {"NOT_LEADER": ExitCode.UNREACHABLE, UNKNOWN_NAME: ExitCode.REFUSED}

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
        return unknown_name(str(document.get("detail") or document.get("title") or "there is no such name"))
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
