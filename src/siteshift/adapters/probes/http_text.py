"""The body of a reply as text: what a person who writes ``body_match`` sees on the page, not its bytes.

The charset is found as browsers find it (https://encoding.spec.whatwg.org/, https://html.spec.whatwg.org/#determining-the-character-encoding):
a byte-order mark, else the label of Content-Type, else a ``<meta>`` in the beginning of the page, else UTF-8; and Latin-1,
which every byte has a letter in, for what turns out not to be in it. Only real charsets are known: Python's other codecs
(``rot13``, ``idna``, ``unicode_escape``) are no labels, and some of them cost quadratic time.
"""

from __future__ import annotations

import codecs
import re

META_BYTES = 1_024
"""Where a page may name its charset (HTML standard, prescan a byte stream)."""

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF16_LE, "utf-16-le"))

_LABELS = {
    label: codec
    for codec, labels in {
        "utf-8": "utf-8 utf8 unicode-1-1-utf-8 us-ascii ascii",
        "utf-16-le": "utf-16 utf-16le",
        "utf-16-be": "utf-16be",
        "cp949": "euc-kr euckr cp949 ms949 windows-949 uhc korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 iso-ir-149",
        "cp932": "shift_jis shift-jis sjis ms932 windows-31j x-sjis",
        "euc_jp": "euc-jp x-euc-jp",
        "iso2022_jp": "iso-2022-jp",
        "gb18030": "gb18030 gb2312 gbk x-gbk gb_2312-80 chinese",
        "big5hkscs": "big5 big5-hkscs x-x-big5 cn-big5",
        "cp1252": "iso-8859-1 iso8859-1 latin1 latin-1 l1 windows-1252 cp1252",
        "iso8859-2": "iso-8859-2 latin2",
        "iso8859-5": "iso-8859-5 cyrillic",
        "iso8859-7": "iso-8859-7 greek",
        "cp1254": "iso-8859-9 latin5 windows-1254",
        "iso8859-15": "iso-8859-15 latin9",
        "cp1250": "windows-1250",
        "cp1251": "windows-1251",
        "cp1253": "windows-1253",
        "cp1255": "windows-1255",
        "cp1256": "windows-1256",
        "cp1257": "windows-1257",
        "cp1258": "windows-1258",
        "cp874": "windows-874 tis-620 iso-8859-11",
        "koi8-r": "koi8-r koi8",
        "koi8-u": "koi8-u",
    }.items()
    for label in labels.split()
}
"""WHATWG's labels that are met, with the codecs that read what really comes under them: ``euc-kr`` is Windows 949."""

_PARAMETER = re.compile(r""";[ \t]*charset[ \t]*=[ \t]*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
_META = re.compile(rb"""<meta[^>]{1,200}?charset[ \t]*=[ \t]*["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)


def text_of(body: bytes, content_type: str, *, is_whole: bool) -> str:
    """The body as text, without a byte-order mark. ``is_whole`` off: its last letter may be cut and is left out.

    A byte that its charset has no letter for becomes U+FFFD where the charset is known; never raises.
    """
    for mark, codec in _MARKS:
        if body.startswith(mark):
            return _decoded(body[len(mark) :], codec, is_whole=is_whole)
    codec = _codec_of(content_type, body)
    if codec:
        return _decoded(body, codec, is_whole=is_whole)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(body, final=is_whole)
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _codec_of(content_type: str, body: bytes) -> str:
    """The codec of the first label that is known; empty when none is."""
    if named := _PARAMETER.search(content_type):
        codec = _LABELS.get(named[1].lower(), "")
        if codec:
            return codec
    if page := _META.search(body[:META_BYTES]):
        codec = _LABELS.get(page[1].decode().lower(), "")
        # A page whose <meta> can be read byte by byte is not in UTF-16, whatever it says.
        return "utf-8" if codec.startswith("utf-16") else codec
    return ""


def _decoded(body: bytes, codec: str, *, is_whole: bool) -> str:
    return codecs.getincrementaldecoder(codec)("replace").decode(body, final=is_whole)
