"""The kinds of values a configuration holds: each checks its form, says what is wrong in words, and converts units.

People write per cent and seconds; the core counts basis points, per mille and milliseconds. A value that cannot be
converted exactly is refused, never rounded.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from siteshift.config.secret import SecretRef

MALFORMED = "malformed"
PLAIN_SECRET = "plain_secret"
NOT_SUPPORTED = "not_supported"
WRONG_TYPE = "wrong_type"
OUT_OF_RANGE = "out_of_range"


SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"})
"""Headers that carry credentials; their values are given by reference."""


class Strict(BaseModel):
    """Every mapping of the file: unknown keys refused, nothing coerced, immutable once read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


def refuse(kind: str, message: str, remedy: str = "") -> NoReturn:
    """Refuse a value. ``kind`` is one of the constants above and decides the id of the problem."""
    raise PydanticCustomError(kind, "{said}", {"said": message, "remedy": remedy})


# Text --------------------------------------------------------------------------------------------------------------

_IDENTIFIER = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62})\Z")
_MEMBER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62})\Z")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def _identifier(text: str) -> str:
    if not _IDENTIFIER.match(text):
        remedy = "use small letters, digits, `-`, `_` and `.`, at most 63, beginning with a letter or digit"
        refuse(MALFORMED, f"`{text}` cannot be an id", remedy)
    return text


def _member_name(text: str) -> str:
    if not _MEMBER_NAME.match(text):
        refuse(MALFORMED, f"`{text}` cannot be a name", "use letters, digits, `-`, `_` and `.`, at most 63")
    return text


def _dns_name(text: str) -> str:
    name = text.rstrip(".").lower()
    if not name or len(name) > 253 or not all(_LABEL.match(label) for label in name.split(".")):
        refuse(MALFORMED, f"`{text}` is not a DNS name", "write it like `www.example.com`")
    return name


def _ip(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        refuse(MALFORMED, f"`{text}` is not an IP address", "write it like `192.0.2.10` or `2001:db8::10`")
    if "%" in text:
        refuse(MALFORMED, f"`{text}`: a scope cannot be used here", "use a global address")
    return str(address)


def _host(text: str) -> str:
    """An address or a name."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if re.fullmatch(r"[0-9.]+", text):
            refuse(MALFORMED, f"`{text}` is not an IP address", "write it like `192.0.2.10`")
        return _dns_name(text)


def split_host_port(text: str) -> tuple[str, int]:
    """``192.0.2.1:53``, ``[2001:db8::1]:53`` or ``lb.example.com:53`` as (host, port)."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or (":" in host and not bracketed):
        refuse(MALFORMED, f"`{text}` is not host:port", "write it like `192.0.2.1:53` or `[2001:db8::1]:53`")
    if not 1 <= int(port) <= 65_535:
        refuse(OUT_OF_RANGE, f"port {port} is not between 1 and 65535")
    return (_ip(host[1:-1]) if bracketed else _host(host)), int(port)


def _host_port(text: str) -> str:
    host, port = split_host_port(text)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(text: str) -> str:
    """Where to listen: an address (no name) and a port; port 0 takes a free one."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        version: int = ipaddress.ip_address(bare).version
    except ValueError:
        version = 0
    if not colon or not version or (version == 6) is (bare == host) or not port.isascii() or not port.isdigit():
        refuse(MALFORMED, f"`{text}` is not address:port", "write it like `192.0.2.1:53` or `[::]:53`")
    if int(port) > 65_535:
        refuse(OUT_OF_RANGE, f"port {port} is not between 0 and 65535")
    return f"[{_ip(bare)}]:{int(port)}" if version == 6 else f"{_ip(bare)}:{int(port)}"


def split_listen(text: str) -> tuple[str, int]:
    """A checked listen address as (address, port)."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _endpoint(text: str) -> str:
    """``unix:/run/haproxy/admin.sock`` or ``192.0.2.1:9999``."""
    if not text.startswith("unix:"):
        return _host_port(text)
    if not text.startswith("unix:/") or "\0" in text:
        refuse(MALFORMED, f"`{text}` is not an endpoint", "write `unix:/run/haproxy/admin.sock` or `192.0.2.1:9999`")
    if len(text.encode()) > len("unix:") + 107:
        refuse(OUT_OF_RANGE, "the path of a Unix socket has at most 107 bytes")
    return text


def _absolute_path(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        refuse(MALFORMED, f"`{text}` is not an absolute path", "begin it with `/`")
    return text


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or any(char.isspace() for char in text):
        refuse(MALFORMED, "not an http or https URL", "write it like `https://hooks.example.com/siteshift`")
    if parts.username or parts.password:
        refuse(PLAIN_SECRET, "a user or password stands in the URL", "give it as `token: file:/path` instead")
    return text


_PORT = re.compile(r"(?::([0-9]{1,5}))?\Z")
_VARIABLE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")


def _http_host(text: str) -> str:
    """What a Host header may be: a name or an address, and a port where there is one (RFC 9110 section 7.2). Kept as written."""
    end = text.find("]") + 1 if text.startswith("[") else len(text.partition(":")[0])
    host, port = text[:end], _PORT.match(text[end:])
    remedy = "write it like `www.example.com`, `www.example.com:8443` or `[2001:db8::10]`"
    if not text.isascii():
        _refuse_unicode_name(text, host)
    if port is None or not (_is_v6(host[1:-1]) if host.startswith("[") else _is_name_or_v4(host)):
        refuse(MALFORMED, f"`{text}` cannot be a Host", f"write `[{text}]`" if _is_v6(text) else remedy)
    if port[1] and not 1 <= int(port[1]) <= 65_535:
        refuse(OUT_OF_RANGE, f"port {port[1]} is not between 1 and 65535")
    return text


def _optional_http_host(text: str) -> str:
    return _http_host(text) if text else text


def _step_host(text: str) -> str:
    """As of a request, with what earlier steps found in it."""
    _optional_http_host(_VARIABLE.sub("v", text))
    return text


def _server_name(text: str) -> str:
    """The name of a handshake: a DNS name or an address, without port, brackets and dot at the end; or nothing."""
    if not text:
        return text
    if not text.isascii():
        _refuse_unicode_name(text, text)
    if not _is_v6(text) and not _is_name_or_v4(text):
        refuse(MALFORMED, f"`{text}` cannot be a server's name", "write it like `www.example.com`, without a port")
    return text.rstrip(".")


def _refuse_unicode_name(text: str, host: str) -> NoReturn:
    try:
        coded = text.replace(host, host.encode("idna").decode())
    except UnicodeError:
        refuse(MALFORMED, f"`{text}` is not a DNS name", "write it like `www.example.com`")
    refuse(MALFORMED, f"`{text}`: a name goes over the wire in ASCII", f"write `{coded}`")


def _is_v6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_name_or_v4(text: str) -> bool:
    try:
        _host(text)
    except PydanticCustomError:
        return False
    return True


def _alpn(text: str) -> str:
    """RFC 7301 section 3.1: 1 to 255 bytes."""
    if not re.fullmatch(r"[!-~]{1,255}", text):
        refuse(MALFORMED, f"`{text[:40]}` is not the name of a protocol", "write it like `h2` or `http/1.1`")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch("{" + text + "}"):
        refuse(MALFORMED, f"`{text}` cannot be a variable's name", "use letters, digits and `_`")
    return text


def _argument(text: str) -> str:
    if "\0" in text:
        refuse(MALFORMED, "an argument cannot hold a NUL", "leave it out")
    return text


def _mysql_user(text: str) -> str:
    """An account's name has at most 80 characters in MariaDB, 32 in MySQL."""
    if not text or len(text) > 80 or not text.isprintable():
        refuse(MALFORMED, f"`{text[:40]}` cannot be a user", "write it like `siteshift`, at most 80 characters")
    return text


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except (re.error, UnicodeError, ValueError) as error:
        refuse(MALFORMED, f"not a regular expression: {error}", "escape special characters with `\\`")
    return text


def _header_name(text: str) -> str:
    if not _HEADER_NAME.match(text):
        refuse(MALFORMED, f"`{text}` cannot be a header's name", "write it like `X-Health`")
    return text


def _plain_header_name(text: str) -> str:
    if text.lower() in SECRET_HEADERS:
        refuse(PLAIN_SECRET, f"`{text}` is a secret", "give it by reference: `token:`, or `secret_headers:` of a probe")
    return _header_name(text)


def _metric_name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text):
        refuse(MALFORMED, f"`{text}` cannot be a metric's name", "write it like `http_requests_total`, without labels")
    return text


def _header_value(text: str) -> str:
    if any((char < " " and char != "\t") or char == "\x7f" for char in text):
        refuse(MALFORMED, "a header's value cannot hold line breaks or other control characters", "write it in one line")
    return text


def _request_path(text: str) -> str:
    if not text.startswith("/") or any(char.isspace() or ord(char) < 33 for char in text):
        refuse(MALFORMED, f"`{text}` is not a request path", "begin it with `/` and encode spaces as `%20`")
    return text


def _hex(text: str) -> str:
    try:
        bytes.fromhex(text)
    except ValueError:
        refuse(MALFORMED, "not hexadecimal", "write pairs of digits like `0a 1b ff`")
    return text


def _octal_mode(text: str) -> str:
    if not re.fullmatch(r"0[0-7]{3}", text):
        refuse(MALFORMED, f"`{text}` is not a file mode", 'write it like `"0660"`')
    return text


def _status_range(value: object) -> tuple[int, int]:
    """``200`` or ``"200-299"``."""
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    found = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", text)
    if not found or int(found[1]) > int(found[2] or found[1]):
        refuse(MALFORMED, f"`{value}` is not a status or a range of them", "write `200` or `200-299`")
    return int(found[1]), int(found[2] or found[1])


def _status_text(value: tuple[int, int]) -> int | str:
    return value[0] if value[0] == value[1] else f"{value[0]}-{value[1]}"


def _secret(value: object) -> SecretRef:
    """Never shows what it found: it may be the secret."""
    remedy = "write `file:/path`, `env:NAME` or `credential:NAME`"
    if not isinstance(value, str):
        refuse(WRONG_TYPE, "a secret is given by a reference", remedy)
    ref = SecretRef.parse(value)
    if ref is None:
        refuse(PLAIN_SECRET, "a secret is given by a reference, never in this file", remedy)
    return ref


def _text_schema(description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, **more})


Identifier = Annotated[str, AfterValidator(_identifier)]
MemberName = Annotated[str, AfterValidator(_member_name)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
IpAddress = Annotated[str, AfterValidator(_ip)]
Host = Annotated[str, AfterValidator(_host)]
HostPort = Annotated[str, AfterValidator(_host_port)]
ListenAddress = Annotated[str, AfterValidator(_listen)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
AbsolutePath = Annotated[str, AfterValidator(_absolute_path)]
Url = Annotated[str, AfterValidator(_url)]
Regex = Annotated[str, AfterValidator(_regex)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
PlainHeaderName = Annotated[str, AfterValidator(_plain_header_name)]
"""Of a header whose value stands in the file."""
HeaderValue = Annotated[str, AfterValidator(_header_value)]
MetricName = Annotated[str, AfterValidator(_metric_name)]
HttpHost = Annotated[str, AfterValidator(_optional_http_host)]
StepHost = Annotated[str, AfterValidator(_step_host)]
Authority = Annotated[str, AfterValidator(_http_host)]
ServerName = Annotated[str, AfterValidator(_server_name)]
AlpnName = Annotated[str, AfterValidator(_alpn)]
VariableName = Annotated[str, AfterValidator(_variable)]
Argument = Annotated[str, AfterValidator(_argument)]
MysqlUser = Annotated[str, AfterValidator(_mysql_user)]
RequestPath = Annotated[str, AfterValidator(_request_path)]
Hex = Annotated[str, AfterValidator(_hex)]
OctalMode = Annotated[str, AfterValidator(_octal_mode)]
Text = Annotated[str, Field(min_length=1, max_length=1_000)]
Port = Annotated[int, Field(ge=1, le=65_535)]
StatusRange = Annotated[
    tuple[int, int],
    PlainValidator(_status_range),
    PlainSerializer(_status_text),
    WithJsonSchema({"type": ["integer", "string"], "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"}),
]
Secret = Annotated[
    SecretRef,
    PlainValidator(_secret),
    PlainSerializer(str),
    _text_schema("A reference to a secret.", pattern="^(file:/.+|env:[A-Za-z_]\\w*|credential:[A-Za-z0-9].*)$"),
]


# Numbers with units ------------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """A value as a message may show it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value[:40]!r}"
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A number in people's unit that becomes the core's integer exactly: times ``factor``."""

    factor: int
    low: str
    high: str
    unit: str

    def convert(self, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(WRONG_TYPE, f"expected a number of {self.unit}, found {shown(value)}", "write the bare number, no unit")
        number = Decimal(str(value))
        if not Decimal(self.low) <= number <= Decimal(self.high):
            refuse(OUT_OF_RANGE, f"{value} {self.unit} is not between {self.low} and {self.high}")
        scaled = number * self.factor
        if scaled != int(scaled):
            least = Decimal(1) / self.factor
            refuse(MALFORMED, f"{value} is finer than the least step of {least} {self.unit}", "round it")
        return int(scaled)

    def restore(self, value: int) -> int | float:
        return value // self.factor if value % self.factor == 0 else value / self.factor

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        back = core_schema.plain_serializer_function_ser_schema(self.restore)
        return core_schema.no_info_plain_validator_function(self.convert, serialization=back)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: object) -> dict[str, Any]:
        return {"type": "number", "minimum": float(self.low), "maximum": float(self.high)}


PercentBp = Annotated[int, Scaled(factor=100, low="0", high="100", unit="per cent")]
"""Written as per cent with up to two decimals, kept as basis points."""
PercentPm = Annotated[int, Scaled(factor=10, low="0", high="100", unit="per cent")]
"""Written as per cent with one decimal, kept as per mille."""
SecondsMs = Annotated[int, Scaled(factor=1_000, low="0", high="604800", unit="seconds")]
"""Written as seconds with up to three decimals, kept as milliseconds; at most a week."""
HoursMs = Annotated[int, Scaled(factor=3_600_000, low="0.01", high="720", unit="hours")]
"""Written as hours, kept as milliseconds; at most 30 days."""
ProbeMs = Annotated[int, Field(ge=10, le=3_600_000)]
"""A time of probing; 10 ms is what the scheduler can keep."""
