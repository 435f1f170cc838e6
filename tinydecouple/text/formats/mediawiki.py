"""MediaWiki's interface messages: i18n/<code>.json, the same key in every variety the same message.

The rule for markup, in `plain_text`: what a reader of the page would see stays, what only steers the page goes.
"""

import html
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from tinydecouple.errors import TinyDecoupleError
from tinydecouple.text.formats.common import Reading, Row, one_folder

SHAPE = "i18n/<code>.json, a file per variety"
USUAL = (None, "en")
MESSAGE_FILE = re.compile(r"([a-z]{2,3}(?:-[a-z0-9]+)*)\.json")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>|__[A-Z]+__")  # __NOTOC__ is a switch of the page
INNERMOST = re.compile(r"""
    \{\{\{[^{}]*\}\}\}                                  # {{{parameter}}}
  | \{\{ (?P<template>[^{}\[\]]*) \}\}
  | \[\[ (?P<link>[^{}\[\]]*) \]\]
  | \[ (?: (?:https?:|mailto:|//|&) [^\s\[\]{}]* | \$\d+ )? [ ] (?P<label>[^{}\[\]]*) \]  # no url left: it was {{…}}
  | \[ (?:https?:|mailto:|//) [^\s\[\]{}]* \]
""", re.VERBOSE)
DEEPEST = 40  # markup within markup; what is deeper stays as it is
NO_CHARACTER = re.compile("&#[0-9]{9,};?")  # Unicode has fewer, and int() takes no number of thousands of digits
FORMS = re.compile(r"\s*(?:PLURAL|GENDER)\s*:", re.IGNORECASE)
REST = re.compile(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}")  # markup left open, or a table
BROKEN = re.compile("[\0\t\n\r\ud800-\udfff]")   # in JSON, \u0000 and \ud83d spell a NUL and half a character


def recognised(path: Path) -> bool:
    return path.is_dir() and bool(_files(path))


def read(paths: Sequence[str | Path], reading: Reading, pivot: str | None = None,
         varieties: tuple[str, ...] | None = None) -> Iterator[Row]:
    """Read message files from one or several folders: core, extensions, skins, or a whole tarball.

    Files lie directly in a folder or below a folder i18n. Keys are the path of the file's folder relative to the folder
    that holds all those given, then the message's key. varieties: the codes wanted; None for all. Left out uncounted:
    @metadata, qqq (documentation) and private codes (en-x-piglatin). Left out and counted: empty messages, which are
    lawful and switch a part of the page off; of a key that comes twice in a file all messages but the last, the one
    that MediaWiki shows; and, as "mostly markup", messages that plain_text cannot clear, or that keep letters for fewer
    than half of the characters they had, spaces apart. A message equal to its English is kept.
    Raises TinyDecoupleError, also when lenient, for JSON that does not parse, with line and column, and for a file
    that is not UTF-8.
    """
    roots = [one_folder([path]) for path in paths]
    files: dict[Path, None] = {}
    for root in roots:
        message_files = _files(root)
        if not message_files:
            raise TinyDecoupleError(f"{root}: no message files here; expected {SHAPE}")
        files |= dict.fromkeys(message_files)
    base = os.path.commonpath([os.path.abspath(root) for root in roots])
    for path in files:
        variety = MESSAGE_FILE.fullmatch(path.name)[1]
        if variety == "qqq" or "x" in variety.split("-"):
            continue
        reading.met.add(variety)
        if varieties is not None and variety not in varieties:
            continue
        folder = Path(os.path.abspath(path.parent)).relative_to(base).as_posix()
        for key, message in _messages(path, reading).items():
            where = f"{path}: {key}"
            if key == "@metadata":
                continue
            if not isinstance(message, str):
                reading.bad(where, "not a text", f"{type(message).__name__} instead of a text; mend or delete "
                                                 "the message")
                continue
            text = plain_text(message)
            if not message.strip():
                reading.drop("empty message")
            elif BROKEN.search(key + text):
                reading.bad(where, "NUL byte", "a NUL, half a character, or a tab in the key; delete the message")
            elif REST.search(text) or 2 * _letters(text) < len("".join(message.split())):
                reading.drop("mostly markup")
            else:
                yield Row(where, key if folder == "." else f"{folder}/{key}", variety, text, None)


def _messages(path: Path, reading: Reading) -> dict:
    """Key -> message. Of a key that comes twice the last message counts, as in MediaWiki; the others are counted."""
    pairs: list[tuple[str, object]] = []

    def keep(found: list[tuple[str, object]]) -> dict:  # called for the outermost object last
        pairs[:] = found
        return dict(found)

    with reading.open(path) as file:
        data = file.read()
    try:
        messages = json.loads(data.decode("utf-8-sig"), object_pairs_hook=keep)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TinyDecoupleError(f"{path}:{line}: byte {error.start + 1} of the file is not UTF-8; "
                                "save it as UTF-8, or get it again if it is cut off") from None
    except json.JSONDecodeError as error:
        raise TinyDecoupleError(f"{path}:{error.lineno}:{error.colno}: JSON does not parse ({error.msg}); if the "
                                "file is cut off, get it again") from None
    except (RecursionError, ValueError) as error:  # nested without end; a number of thousands of digits
        raise TinyDecoupleError(f"{path}:1: JSON without messages ({type(error).__name__}); get it again") from None
    if not isinstance(messages, dict):
        raise TinyDecoupleError(f"{path}:1: JSON without messages; expected {{\"key\": \"text\", …}}")
    for _ in range(len(pairs) - len(messages)):
        reading.drop("earlier message of a key that comes twice")
    return messages


def _files(folder: Path) -> list[Path]:
    """Message files <code>.json: directly in the folder, or anywhere below a folder named i18n; links are followed.

    Hidden folders and node_modules are passed over.
    """
    message_files, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(f for f in folders if f[0] != "." and f != "node_modules")
        here = Path(place)
        if real not in seen and (here == folder or "i18n" in (folder.absolute().name, *here.relative_to(folder).parts)):
            message_files += [here / name for name in names if MESSAGE_FILE.fullmatch(name)]
        seen.add(real)
    return sorted(message_files)


def plain_text(message: str) -> str:
    """The message without its markup, spaces and line ends collapsed to one space.

    {{PLURAL:$1|one|other}} and {{GENDER:$1|his|her}} become their last form; any other {{…}} goes; [[target|label]]
    and [url label] become the label, [[target]] the target; HTML tags go and entities become characters; the quotes of
    '''bold''' and switches such as __NOTOC__ go; parameters $1 stay, and so do the marks of lists and headings.
    From the inside out, so that a link may hold a plural or a plural a link.
    """
    text = TAG.sub("", _without_comments(message))
    for _ in range(DEEPEST):
        before, text = text, INNERMOST.sub(_visible, text)
        if text == before:
            break
    return " ".join(html.unescape(NO_CHARACTER.sub("\ufffd", re.sub("'{2,}", "", text))).split())


def _without_comments(text: str) -> str:
    """The text without <!-- comments -->; as a pattern, it would look for the end from each beginning anew."""
    kept, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start + 4)) >= 0:
        kept.append(text[at:start])
        at = end + 3
    return "".join([*kept, text[at:]])


def _visible(markup: re.Match[str]) -> str:
    """What is seen of one piece of markup that holds no other."""
    if markup["template"] is not None:
        head, *forms = markup["template"].split("|")
        forms = [form for form in forms if not re.match(r"\s*\d+=", form)]  # 0=none is for one number only
        return forms[-1] if FORMS.match(head) and forms else ""
    if markup["link"] is not None:
        return markup["link"].split("|")[-1].removeprefix(":")
    return markup["label"] or ""


def _letters(text: str) -> int:
    """Letters with their combining marks: in Hindi, every third character of a word is a mark."""
    return sum(unicodedata.category(c)[0] in "LM" for c in text)
