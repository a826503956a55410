"""Rich Text Format (Microsoft's specification 1.9.1): the text as it is read, without what is deleted or hidden.

Pictures, objects, and every destination that a reader need not know are passed over. Nothing that a field refers to is
looked at.
"""

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from osler.engines.documents.refusals import RefusedError

_TOKEN: Final = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)

_MACHINERY: Final = """
    annotation atnauthor atndate atnicn atnid atnparent atnref atntime atrfend atrfstart author background bkmkend
    bkmkstart buptim category colorschememapping colortbl comment company creatim datafield datastore defchp defpap
    do doccomm docvar falt fchars ffdeftext ffentrymcr ffexitmcr ffformat ffhelptext ffl ffname ffstattext file filetbl
    fldinst fname fontemb fontfile formfield ftncn ftnsep ftnsepc aftncn aftnsep aftnsepc generator gridtbl hlinkbase
    info keycode keywords latentstyles lchars levelnumbers leveltext lfolevel linkval list listlevel listname
    listoverride listoverridetable listpicture liststylename listtable lsdlockedexcept mailmerge manager mmathpr
    nesttableprops nextfile nonesttables nonshppict objalias objclass objdata objname objsect objtime operator password
    passwordhash pgp pgptbl picprop pict pnseclvl pntxta pntxtb printim private propname protend protstart protusertbl
    pxe revtbl revtim rsidtbl rxe sn sp staticval stylesheet subject sv svb tc template themedata title txe ud upr
    userprops wgrffmtfilter windowcaption writereservation writereservhash xe xform xmlattrname xmlattrvalue xmlclose
    xmlname xmlnstbl xmlopen"""
"""Destinations whose text is not read by a person."""

_PASSED_OVER: Final = frozenset(_MACHINERY.split())

_ALTHOUGH_OPTIONAL: Final = frozenset({"shppict", "shpinst", "shptxt", "fldrslt", "footnote", "nesttableprops", "pn"})
"""Destinations marked as ones that an old reader may pass over, but that hold or lead to text."""

_SIGNS: Final = {
    "par": "\n",
    "line": "\n",
    "sect": "\n\n",
    "page": "\n\n",
    "row": "\n",
    "nestrow": "\n",
    "cell": " | ",
    "nestcell": " ",
    "tab": "\t",
    "emdash": "—",
    "endash": "–",
    "emspace": " ",
    "enspace": " ",
    "qmspace": " ",
    "bullet": "•",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
}

_SYMBOLS: Final = {b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\n": "\n", b"\r": "\n", b"\t": "\t"}

_CODE_PAGES: Final = {
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gb18030",
    136: "big5",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}
"""By \\fcharset of a font; any other has the document's own."""

_DEEPEST: Final = 500
_ROW_END: Final = re.compile(r"(?: \| )+\n")


@dataclass(slots=True)
class _Group:
    """What holds until the closing brace."""

    passed_over: bool = False
    hidden: bool = False
    into: str = "body"
    font: int = 0
    fallback: int = 1
    """Characters after a \\u that stand in its place for readers without Unicode."""
    fonts: bool = False


@dataclass(slots=True)
class _State:
    encoding: str = "cp1252"
    fonts: dict[int, str] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=lambda: {"body": [], "around": [], "notes": []})
    to_skip: int = 0
    pending: bytearray = field(default_factory=bytearray)
    high: int = 0


def read_rtf(data: bytes) -> str:
    """Return the text; cells of tables have bars between, headers and footers stand once, notes at the end.

    Raises RefusedError: damaged (no RTF, cut off, or nested beyond reason).
    """
    start = data.find(b"{\\rtf")
    if start < 0:
        raise RefusedError("damaged")
    texts = _Parser(data).run(start)
    around = dict.fromkeys(line.strip() for line in "".join(texts["around"]).splitlines() if line.strip(" |"))
    body = _ROW_END.sub("\n", "".join(texts["body"]))
    return "\n".join(part for part in ("\n".join(around), body, "".join(texts["notes"])) if part)


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._state = _State()
        self._group = _Group()
        self._stack: list[_Group] = []
        self._optional = False

    def run(self, position: int) -> dict[str, list[str]]:
        """Go through the file to the brace that closes it."""
        data, state = self._data, self._state
        while position < len(data):
            match = _TOKEN.match(data, position)
            if match is None:
                position += 1
                continue
            position = match.end()
            word, number, digits, symbol, brace, plain = match.groups()
            if brace:
                self._flush()
                state.to_skip = 0
                if brace == b"{":
                    if len(self._stack) >= _DEEPEST:
                        raise RefusedError("damaged")
                    self._stack.append(replace(self._group))
                    self._optional = False
                    continue
                if not self._stack:
                    break
                self._group = self._stack.pop()
                if not self._stack:
                    return state.texts
            elif word:
                value = int(number) if number else None
                if word == b"bin":
                    position += max(0, value or 0)
                    continue
                self._word(word.decode("ascii"), value)
            elif digits:
                self._bytes(bytes([int(digits, 16)]))
            elif symbol:
                if symbol == b"*":
                    self._optional = True
                    continue
                if symbol in _SYMBOLS:
                    self._text(_SYMBOLS[symbol])
            elif plain:
                self._bytes(plain)
            self._optional = False
        raise RefusedError("damaged")  # the file ends before its last brace

    def _word(self, word: str, value: int | None) -> None:
        self._flush()
        group, state = self._group, self._state
        if word in _PASSED_OVER or (self._optional and word not in _ALTHOUGH_OPTIONAL):
            group.passed_over = True
        elif word in _ACTIONS:
            _ACTIONS[word](self, value)
        elif word in _SIGNS:
            self._text(_SIGNS[word])
        elif word in ("header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"):
            group.into = "around"
            state.texts["around"].append("\n")
        elif word == "footnote":
            group.into = "notes"
            state.texts["notes"].append("\n")

    def _bytes(self, raw: bytes) -> None:
        """Take characters of the font's code page; of some, one character has two bytes that come one by one."""
        state = self._state
        if state.to_skip:
            skipped = min(state.to_skip, len(raw))
            state.to_skip -= skipped
            raw = raw[skipped:]
        if self._group.fonts or self._group.passed_over or self._group.hidden:
            return
        state.pending += raw

    def _flush(self) -> None:
        state = self._state
        if state.pending:
            encoding = state.fonts.get(self._group.font, state.encoding)
            self._put(bytes(state.pending).decode(encoding, errors="replace"))
            state.pending.clear()

    def _text(self, text: str) -> None:
        self._flush()
        if self._state.to_skip:
            self._state.to_skip -= 1
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        if not (self._group.passed_over or self._group.hidden or self._group.fonts):
            self._state.texts[self._group.into].append(text)

    def _unicode(self, value: int | None) -> None:
        """\\uN: a UTF-16 unit, signed; what follows it is for readers without Unicode."""
        unit, state = (value or 0) & 0xFFFF, self._state
        if 0xD800 <= unit < 0xDC00:
            state.high = unit
        elif 0xDC00 <= unit < 0xE000:
            if state.high:
                self._put(chr(0x10000 + ((state.high - 0xD800) << 10) + unit - 0xDC00))
            state.high = 0
        else:
            self._put(chr(unit))
        state.to_skip = self._group.fallback

    def _fallback(self, value: int | None) -> None:
        self._group.fallback = min(max(0, 1 if value is None else value), 16)

    def _hide(self, value: int | None) -> None:
        self._group.hidden = value != 0

    def _plain(self, value: int | None) -> None:
        self._group.hidden = False

    def _code_page(self, value: int | None) -> None:
        name = "utf-8" if value == 65001 else f"cp{value}"
        if _known(name):
            self._state.encoding = name

    def _mac(self, value: int | None) -> None:
        self._state.encoding = "mac_roman"

    def _font_table(self, value: int | None) -> None:
        self._group.fonts = True

    def _font(self, value: int | None) -> None:
        self._group.font = value or 0

    def _font_character_set(self, value: int | None) -> None:
        if self._group.fonts and value in _CODE_PAGES:
            self._state.fonts[self._group.font] = _CODE_PAGES[value]


def _known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


_ACTIONS: Final[dict[str, Callable[[_Parser, int | None], None]]] = {
    "u": _Parser._unicode,
    "uc": _Parser._fallback,
    "v": _Parser._hide,
    "deleted": _Parser._hide,
    "plain": _Parser._plain,
    "ansicpg": _Parser._code_page,
    "mac": _Parser._mac,
    "fonttbl": _Parser._font_table,
    "f": _Parser._font,
    "fcharset": _Parser._font_character_set,
}
