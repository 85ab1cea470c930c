"""What can be wrong with a configuration: stable ids, positions and remedies.

An id never changes its meaning and is never used again; the hundreds say what kind of problem it is:

``CFG-0xx`` the file itself    ``CFG-1xx`` the shape of a value    ``CFG-2xx`` names and references
``CFG-3xx`` numbers that do not fit together    ``CFG-4xx`` data planes    ``CFG-5xx`` safety (warnings)
``CFG-6xx`` secrets and files beside the configuration
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

Path = tuple[str | int, ...]
"""Where in the document: ``("services", 0, "pools", 1, "site")``."""


class ProblemSeverity(StrEnum):
    """An error keeps the configuration from being used; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


ERROR = ProblemSeverity.ERROR
WARNING = ProblemSeverity.WARNING


class ProblemCode(Enum):
    """Every kind of problem: id, severity, what it means."""

    UNREADABLE = ("CFG-001", ERROR, "the file cannot be read")
    TOO_LARGE = ("CFG-002", ERROR, "the file is larger than 4 MiB")
    NOT_UTF8 = ("CFG-003", ERROR, "the file is not UTF-8")
    SYNTAX = ("CFG-004", ERROR, "the file is not YAML")
    DUPLICATE_KEY = ("CFG-005", ERROR, "a key stands twice in one mapping")
    TOO_COMPLEX = ("CFG-006", ERROR, "nested too deep, or too large once its aliases are expanded")
    TAG = ("CFG-007", ERROR, "YAML tags are not allowed")
    NOT_TEXT = ("CFG-008", ERROR, "a key is not text, or text holds what is no character")
    NOT_A_MAPPING = ("CFG-009", ERROR, "the file does not hold exactly one mapping")

    UNKNOWN_KEY = ("CFG-101", ERROR, "no such key here")
    MISSING_KEY = ("CFG-102", ERROR, "a required key is missing")
    WRONG_TYPE = ("CFG-103", ERROR, "the value has the wrong type")
    NOT_A_CHOICE = ("CFG-104", ERROR, "the value is none of the possible ones")
    OUT_OF_RANGE = ("CFG-105", ERROR, "the number or the length is out of range")
    MALFORMED = ("CFG-106", ERROR, "the value is not written as it must be")
    PLAIN_SECRET = ("CFG-107", ERROR, "a secret stands in the file instead of a reference to it")
    NOT_SUPPORTED = ("CFG-108", ERROR, "not supported by this version")
    CONTRADICTION = ("CFG-109", ERROR, "two keys say different things, or one needs another")

    DUPLICATE_ID = ("CFG-201", ERROR, "two things of one kind have the same id")
    DUPLICATE_ADDRESS = ("CFG-202", ERROR, "two things have the same address")
    DUPLICATE_NAME = ("CFG-203", ERROR, "two services claim the same DNS name")
    NO_SUCH_SITE = ("CFG-204", ERROR, "no site of that id")
    NO_SUCH_SERVICE = ("CFG-205", ERROR, "no service of that id")
    NO_SUCH_MEMBER = ("CFG-206", ERROR, "no member of that id")
    NO_SUCH_DRIVER = ("CFG-207", ERROR, "no standby driver of that id")
    DEPENDENCY_CYCLE = ("CFG-208", ERROR, "services depend on one another in a circle")
    SITE_TWICE = ("CFG-209", ERROR, "a service has two pools at one site")
    NO_SUCH_ENACTOR = ("CFG-211", ERROR, "no enactor of that id and kind")
    UNUSED = ("CFG-210", WARNING, "defined and never used")

    SHARES_SUM = ("CFG-301", ERROR, "the nominal shares of a service do not make 100 %")
    TIMEOUT_LONG = ("CFG-302", ERROR, "a probe's timeout is not shorter than its interval")
    RAMP = ("CFG-303", ERROR, "the ramp does not rise to 100 %")
    ORDER = ("CFG-304", ERROR, "one bound lies beyond the other")
    SERVING_SITES = ("CFG-305", ERROR, "more serving sites are demanded than there are")
    TWIN_SAME = ("CFG-306", ERROR, "the must-fail twin asks the same as the check")
    VARIABLE = ("CFG-307", ERROR, "a journey uses a variable that no earlier step extracts")

    NAME_OUTSIDE_ZONE = ("CFG-401", ERROR, "a steered name lies outside the zone")
    NO_ANSWERS = ("CFG-402", ERROR, "a site has no address to answer with")
    FAMILY_GAP = ("CFG-403", WARNING, "a site has no address of a family that other sites have")
    NAME_NOT_STEERED = ("CFG-404", WARNING, "no enactor steers the name or the service")
    BACKEND_MAPPING = ("CFG-405", ERROR, "the mapping onto an HAProxy backend does not fit the pools")
    LISTEN_CLASH = ("CFG-406", ERROR, "two listeners claim the same address and port")
    OPEN_SOCKET = ("CFG-407", WARNING, "the administration socket of a load balancer can be reached from elsewhere")
    ZONE_NOT_DELEGATED = ("CFG-408", WARNING, "a zone below another one is not delegated there")
    NO_GLUE = ("CFG-409", WARNING, "a name server in the zone has no address there")
    INITIAL_WEIGHT = ("CFG-410", WARNING, "the weights that an agent check tells per cents of are not given")
    SHARE_BY_WEIGHT = ("CFG-411", WARNING, "the weights of an HAProxy cannot say a nominal share")

    ONE_SITE = ("CFG-501", WARNING, "the service has one site only: nowhere to go")
    N_MINUS_1 = ("CFG-502", WARNING, "the other sites cannot carry the demand when the largest is lost")
    OVER_CAPACITY = ("CFG-503", WARNING, "the demand exceeds the capacity with all sites up")
    NO_DRIVER = ("CFG-504", WARNING, "a standby member has no driver: a person must start it")
    FEW_ANCHORS = ("CFG-505", WARNING, "fewer than two anchors: the node cannot tell that it is blind")
    ANCHOR_INSIDE = ("CFG-506", WARNING, "an anchor lies in a site of ours")
    NO_TWIN = ("CFG-507", WARNING, "a check without a must-fail twin may be unable to fail")
    NO_PROBES = ("CFG-508", WARNING, "a service without probes: its standing stays unknown")
    PROBE_LOAD = ("CFG-509", WARNING, "more probing than one core carries")
    SHARED_FATE = ("CFG-510", WARNING, "all sites of a service share one fate")
    POOL_SHARE_CAPACITY = ("CFG-511", WARNING, "a pool cannot carry its nominal share")
    EMPTY_POOL = ("CFG-512", WARNING, "a pool without an active member")
    TIER_INVERSION = ("CFG-513", WARNING, "a service depends on a less critical one")
    UNATTENDED_WRITE = ("CFG-514", WARNING, "writable data come back without a person")
    INSECURE_CHECK = ("CFG-515", WARNING, "certificates are not verified")
    NOTIFIER_INSIDE = ("CFG-516", WARNING, "a notifier lies in a site of ours")
    RESET_PUNISHED = ("CFG-519", WARNING, "a check that connects and resets, where servers hold that against it")
    ROLE_UNKNOWN = ("CFG-518", WARNING, "nothing tells where writable data are promoted")
    MODE_UNSAID = ("CFG-520", WARNING, "no `mode` is given: siteshift recommends, and nothing moves by itself")
    DRIVER_INSIDE = ("CFG-517", WARNING, "a standby driver lives in another site of ours than the member it starts")

    SECRET_UNAVAILABLE = ("CFG-601", ERROR, "a secret cannot be read")
    SECRET_EXPOSED = ("CFG-602", WARNING, "a secret can be read by everybody")
    FILE_MISSING = ("CFG-603", ERROR, "a file that is named does not exist or cannot be used")
    CONFIG_WRITABLE = ("CFG-604", WARNING, "everybody may change the configuration")
    NO_SUCH_ACCOUNT = ("CFG-606", WARNING, "a user or group does not exist on this machine")
    SECRET_MALFORMED = ("CFG-605", ERROR, "a secret has not the form it must have")

    def __init__(self, id: str, severity: ProblemSeverity, meaning: str) -> None:
        self.id = id
        self.severity = severity
        self.meaning = meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem at one place. ``line`` and ``column`` count from 1; ``remedy`` says what to do about it."""

    code: ProblemCode
    file: str
    line: int
    column: int
    path: str
    message: str
    remedy: str = ""

    @property
    def id(self) -> str:
        return self.code.id

    @property
    def severity(self) -> ProblemSeverity:
        return self.code.severity

    def as_values(self) -> dict[str, str | int]:
        """For JSON."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "message": self.message,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        warning = "warning: " if self.severity is WARNING else ""
        where = f"{self.path}: " if self.path else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.file}:{self.line}:{self.column} {self.id} {where}{warning}{self.message}{remedy}"


def path_text(path: Path) -> str:
    """``services[0].pools[1].site``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
