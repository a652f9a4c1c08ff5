"""CEL's ``url`` library.

Source: k8s.io/apiserver ``pkg/cel/library/urls.go``. Which texts are URLs, and what their parts are, is Go's
``net/url``: an absolute URI or an absolute path. Python's ``urllib.parse`` accepts almost anything, so it is no help.
"""

from __future__ import annotations

import string
from ipaddress import IPv4Address, ip_address

import msgspec
from msgspec.structs import replace

from .celtype import BOOL, STRING, URL, list_of, map_of
from .functions import FunctionError, Opaque, Overload, function

_UNRESERVED = string.ascii_letters + string.digits + "-_.~"
# The characters that stand for themselves in each part. Source: RFC 3986 as Go's net/url applies it.
_PATH = frozenset((_UNRESERVED + "$&+,/:;=@").encode())
_HOST = frozenset((_UNRESERVED + "!$&'()*+,;=:[]<>\"").encode())
_USER = frozenset((_UNRESERVED + "$&+,;=").encode())
_FRAGMENT = frozenset((_UNRESERVED + "$&+,/:;=?@!()*").encode())
_PATH_AS_WRITTEN = _PATH | frozenset(b"!'()*[]%")
_FRAGMENT_AS_WRITTEN = _FRAGMENT | frozenset(b"'[]%")
_USERINFO = frozenset(_UNRESERVED + ":!$&'()*+,;=%@")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_MAX_QUERY_PARAMETERS = 10_000


class UrlError(FunctionError):
    """A text that is no URL."""


class Url(msgspec.Struct, frozen=True):
    """A URL's parts. ``host`` is decoded and keeps its port and brackets; the rest is as it is written."""

    scheme: str = ""
    opaque: str = ""
    user: str | None = None
    host: str = ""
    path: str = ""
    query: str = ""
    ends_with_question_mark: bool = False
    without_authority: bool = False
    fragment: str = ""

    def __str__(self) -> str:
        text = self.scheme + ":" if self.scheme else ""
        if self.opaque:
            text += self.opaque
        else:
            if (text or self.host or self.user is not None) and not (
                self.without_authority and not self.host and self.user is None
            ):
                if self.host or self.path or self.user is not None:
                    text += "//"
                if self.user is not None:
                    text += self.user + "@"
                text += _escape(self.host.encode(errors="surrogateescape"), _HOST)
            if self.path and self.path[0] != "/" and self.host:
                text += "/"
            if not text and ":" in self.path.partition("/")[0]:
                text = "./"
            text += self.path
        if self.ends_with_question_mark or self.query:
            text += "?" + self.query
        return text + ("#" + self.fragment if self.fragment else "")

    def split_host(self) -> tuple[str, str]:
        """The host name without brackets, and the port."""
        host, colon, port = self.host.rpartition(":")
        if not colon or not _is_port(port):
            host, port = self.host, ""
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return host, port


def parse(text: str) -> Url:
    """A URL from its text: an absolute URI or an absolute path.

    Raises:
        UrlError: not one.
    """
    parse_request(text)
    reference, _, fragment = text.partition("#")
    return replace(
        _parse_reference(reference, absolute=False),
        fragment=_as_written(fragment, _FRAGMENT, _FRAGMENT_AS_WRITTEN),
    )


def parse_request(text: str) -> Url:
    """A URL as a request line has it: the same, but ``#`` opens no fragment. What ``isURL`` goes by.

    Raises:
        UrlError: not one.
    """
    return _parse_reference(text, absolute=True)


def _decode(text: str) -> Url:
    # A canonical text may be what only a reference is, such as "//host/path".
    reference, _, fragment = text.partition("#")
    return replace(_parse_reference(reference, absolute=False), fragment=fragment)


def _parse_reference(text: str, absolute: bool) -> Url:
    if any(character < " " or character == "\x7f" for character in text):
        raise UrlError("URL parse error: invalid control character in URL")
    if not text and absolute:
        raise UrlError("URL parse error: empty url")
    if text == "*":
        return Url(path="*")
    scheme, rest = _scheme(text)
    ends_with_question_mark = rest.endswith("?") and rest.count("?") == 1
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return Url(scheme, rest, query=query, ends_with_question_mark=ends_with_question_mark)
        if absolute:
            raise UrlError(f"URL parse error: {text!r} is not an absolute URL or path")
        if ":" in rest.partition("/")[0]:
            raise UrlError("URL parse error: first path segment in URL cannot contain colon")
    user, host, without_authority = None, "", False
    if rest.startswith("//") and (scheme or (not absolute and not rest.startswith("///"))):
        authority, slash, tail = rest[2:].partition("/")
        rest = slash + tail
        user, host = _authority(scheme, authority)
    elif scheme and rest.startswith("/"):
        without_authority = True
    path = _as_written(rest, _PATH, _PATH_AS_WRITTEN)
    return Url(
        scheme,
        user=user,
        host=host,
        path=path,
        query=query,
        ends_with_question_mark=ends_with_question_mark,
        without_authority=without_authority,
    )


def _scheme(text: str) -> tuple[str, str]:
    for index, character in enumerate(text):
        if character in string.ascii_letters:
            continue
        if character in string.digits + "+-.":
            if index == 0:
                break
        elif character == ":":
            if index == 0:
                raise UrlError("URL parse error: missing protocol scheme")
            return text[:index].lower(), text[index + 1 :]
        else:
            break
    return "", text


def _authority(scheme: str, authority: str) -> tuple[str | None, str]:
    userinfo, at, host_port = authority.rpartition("@")
    host = _host(scheme, host_port)
    if not at:
        return None, host
    if not _USERINFO.issuperset(userinfo):
        raise UrlError("URL parse error: invalid userinfo")
    name, colon, password = userinfo.partition(":")
    return _escape(_unescape(name), _USER) + colon + _escape(_unescape(password), _USER), host


def _host(scheme: str, text: str) -> str:
    bracket = text.rfind("[")
    if bracket > 0:
        raise UrlError("URL parse error: invalid IP-literal")
    if bracket == 0:
        literal, closing, port = text[1:].rpartition("]")
        if not closing:
            raise UrlError("URL parse error: missing ']' in host")
        _check_port(port)
        name, percent, zone = literal.partition("%25")
        address = _unescape_host(name) + (_unescape_zone(percent + zone) if percent else "")
        try:
            parsed = ip_address(address)
        except ValueError:
            raise UrlError(f"URL parse error: invalid host {address!r}") from None
        if isinstance(parsed, IPv4Address):
            raise UrlError("URL parse error: invalid IP-literal")
        return f"[{address}]{port}"
    # Only http and https are strict about colons: some databases write several hosts with ports.
    colon = text.find(":") if scheme in ("http", "https") else text.rfind(":")
    if colon >= 0:
        _check_port(text[colon:])
    return _unescape_host(text)


def _is_port(text: str) -> bool:
    return all(character in string.digits for character in text)


def _check_port(text: str) -> None:
    if text and (text[0] != ":" or not _is_port(text[1:])):
        raise UrlError(f"URL parse error: invalid port {text!r} after host")


def _unescape(text: str) -> bytes:
    """Percent-escapes decoded.

    Raises:
        UrlError: a percent sign without two hexadecimal digits.
    """
    data = text.encode()
    parts = data.split(b"%")
    out = parts[0]
    for part in parts[1:]:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            raise UrlError(f"URL parse error: invalid URL escape {'%' + part[:2].decode(errors='replace')!r}")
        out += bytes([int(part[:2], 16)]) + part[2:]
    return out


def _unescape_host(text: str) -> str:
    for index, character in enumerate(text):
        if character == "%":
            # Only bytes beyond ASCII may be escaped in a host.
            if text[index + 1 : index + 2] in tuple("01234567") and text[index : index + 3] != "%25":
                raise UrlError(f"URL parse error: invalid URL escape {text[index : index + 3]!r}")
        elif character.isascii() and ord(character) not in _HOST:
            raise UrlError(f"URL parse error: invalid character {character!r} in host name")
    return _unescape(text).decode(errors="surrogateescape")


def _unescape_zone(text: str) -> str:
    for index, character in enumerate(text):
        if character == "%":
            escape = text[index : index + 3]
            byte = _unescape(escape)[0]
            if escape != "%25" and byte != 0x20 and byte not in _HOST:
                raise UrlError(f"URL parse error: invalid URL escape {escape!r}")
        elif character.isascii() and ord(character) not in _HOST:
            raise UrlError(f"URL parse error: invalid character {character!r} in host name")
    return _unescape(text).decode(errors="surrogateescape")


def _escape(data: bytes, allowed: frozenset[int]) -> str:
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in data)


def _as_written(text: str, allowed: frozenset[int], as_written: frozenset[int]) -> str:
    """A part as Go writes it out: as it was written if that is a valid encoding, else encoded anew.

    Raises:
        UrlError: a percent sign without two hexadecimal digits.
    """
    decoded = _unescape(text)
    return text if as_written.issuperset(text.encode()) else _escape(decoded, allowed)


OPAQUE = Opaque(URL, "U", str, _decode)


def _is_url(text: str) -> bool:
    try:
        parse_request(text)
    except UrlError:
        return False
    return True


def _query(url: Url) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    settings = url.query.split("&")
    if len(settings) > _MAX_QUERY_PARAMETERS:
        return values
    for setting in settings:
        if not setting or ";" in setting:
            continue
        key, _, value = setting.partition("=")
        try:
            decoded = [_unescape(part.replace("+", " ")).decode() for part in (key, value)]
        except UrlError:
            continue
        except UnicodeDecodeError:
            raise FunctionError("the URL's query is not UTF-8") from None
        if "\0" in decoded[0] or "\0" in decoded[1]:
            raise FunctionError("a string that contains NUL is not supported")
        values.setdefault(decoded[0], []).append(decoded[1])
    return values


FUNCTIONS = (
    function("url", Overload("string_to_url", (STRING,), URL, python=parse)),
    function("isURL", Overload("is_url_string", (STRING,), BOOL, python=_is_url)),
    function(
        "getScheme", Overload("url_get_scheme", (URL,), STRING, member=True, python=lambda url: url.scheme)
    ),
    function("getHost", Overload("url_get_host", (URL,), STRING, member=True, python=lambda url: url.host)),
    function(
        "getHostname",
        Overload("url_get_hostname", (URL,), STRING, member=True, python=lambda url: url.split_host()[0]),
    ),
    function(
        "getPort",
        Overload("url_get_port", (URL,), STRING, member=True, python=lambda url: url.split_host()[1]),
    ),
    function(
        "getEscapedPath",
        Overload(
            "url_get_escaped_path",
            (URL,),
            STRING,
            member=True,
            python=lambda url: "" if url.opaque else url.path,
        ),
    ),
    function(
        "getQuery",
        Overload("url_get_query", (URL,), map_of(STRING, list_of(STRING)), member=True, python=_query),
    ),
)
