"""Taking provider keys out of texts that others read: error messages, rows, logs."""

import base64
import binascii
import html
import os
import re
from collections.abc import Callable, Iterator

from pgknowbase.conf import get_settings
from pgknowbase.errors import ConfigurationError

MASK = "***"
SUFFIXES = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
# A shorter value is not a key, and replacing it would garble the text. Parts of a key are recognised from here on too.
SHORTEST = 8
# What servers leave of a key around the characters with which they hide its middle.
SHORTEST_END = 3
LONGEST_TEXT = 200_000

_ESCAPE = re.compile(r"%[0-9a-f]{2}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[/\"']|&#?\w{1,8};", re.IGNORECASE)
_ENCODED = re.compile(rf"[\w+/-]{{{SHORTEST},}}={{0,2}}", re.ASCII)
_HIDDEN = re.compile(r"([\w-]*)(?:\*{2,}|\.{3,}|…|•{2,}|[xX]{4,})([\w-]*)", re.ASCII)


def read_key(variable: str | None, model: str) -> str | None:
    """The API key for ``model`` in an environment variable; None where there is no ``variable``.

    Raises:
        ConfigurationError: it holds no key, or one that cannot be sent.
    """
    if not variable:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigurationError(
            f"The environment variable {variable!r} holds no API key for {model!r}: set it "
            "(any value for a server that wants none, or API_KEY_ENV to None)."
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(
            f"The API key in {variable!r} has characters that no HTTP header can carry: set it anew."
        )
    return key


def without_secrets(text: str) -> str:
    """``text`` with each provider key replaced by ``***``, also where only a part of a key stands there.

    Some servers repeat the key in their error message. That message goes into rows, logs and the admin, where more
    users read it than may know the key. A key is found in any case, with characters escaped (as in URLs, JSON, HTML),
    in base64 or hex, and with its middle hidden. Of a part that may be an ordinary word, eight letters of one case,
    nothing is replaced.

    >>> without_secrets("Incorrect API key provided: sk-ab**********yz1")
    'Incorrect API key provided: ***'
    """
    keys = list(_keys())
    text = text[:LONGEST_TEXT]
    if not keys:
        return text
    parts = {part for key in keys for part in _parts(key)}

    def holds_key(candidate: str) -> bool:
        return any(True for _ in _spans(candidate, keys, parts))

    text = _HIDDEN.sub(lambda found: MASK if _is_hidden_key(found, keys) else found[0], text)
    text = _ENCODED.sub(lambda found: MASK if any(map(holds_key, _decoded(found[0]))) else found[0], text)
    return _masked(text, lambda plain: _spans(plain, keys, parts))


def _keys() -> Iterator[str]:
    """The keys in the environment, in lower case."""
    settings = get_settings()
    names = {provider.api_key_env for provider in settings.agents.providers.values()}
    names |= {each.options.get("API_KEY_ENV") for each in settings.embeddings.values()}
    names |= {each.options.get("API_KEY_ENV") for each in settings.rerankers.values()}
    names |= {name for name in os.environ if name.upper().endswith(SUFFIXES)}
    for name in names:
        value = os.environ.get(name, "") if isinstance(name, str) else ""
        if len(value) >= SHORTEST:
            yield value.lower()


def _parts(key: str) -> Iterator[str]:
    """Each run of eight characters of a key that cannot be a word."""
    for start in range(len(key) - SHORTEST + 1):
        part = key[start : start + SHORTEST]
        if not part.replace("-", "").replace("_", "").isalpha():
            yield part


def _spans(text: str, keys: list[str], parts: set[str]) -> Iterator[tuple[int, int]]:
    """Where keys, and parts of them, stand in ``text``."""
    text = text.lower()
    for key in keys:
        start = text.find(key)
        while start >= 0:
            yield start, start + len(key)
            start = text.find(key, start + 1)
    for start in range(len(text) - SHORTEST + 1):
        if text[start : start + SHORTEST] in parts:
            yield start, start + SHORTEST


def _masked(text: str, find: Callable[[str], Iterator[tuple[int, int]]]) -> str:
    """``text`` with the mask for what ``find`` finds in it once its escapes are undone."""
    plain, starts = _unescaped(text)
    covered = [False] * len(plain)
    for start, end in find(plain):
        covered[start:end] = [True] * (end - start)
    made: list[str] = []
    for place, hidden in enumerate(covered):
        if not hidden:
            made.append(text[starts[place] : starts[place + 1]])
        elif not place or not covered[place - 1]:
            made.append(MASK)
    return "".join(made)


def _unescaped(text: str) -> tuple[str, list[int]]:
    """``text`` without escapes, and where each of its characters begins in ``text``; at last where it ends."""
    plain: list[str] = []
    starts: list[int] = []
    last = 0
    for found in _ESCAPE.finditer(text):
        character = _character(found[0])
        if len(character.lower()) != 1:
            continue
        plain += text[last : found.start()] + character
        starts += [*range(last, found.start()), found.start()]
        last = found.end()
    plain += text[last:]
    starts += range(last, len(text) + 1)
    # Letters whose lower case is longer would shift all places behind them.
    return "".join(letter if len(letter.lower()) == 1 else "?" for letter in plain), starts


def _character(escape: str) -> str:
    if escape.startswith("&"):
        return html.unescape(escape)
    return escape[1:] if escape[1] in "/\"'" else chr(int(escape.lstrip("%\\uUxX"), 16))


def _is_hidden_key(found: re.Match[str], keys: list[str]) -> bool:
    before, after = found[1].lower(), found[2].lower()
    starts = len(before) >= SHORTEST_END and any(key.startswith(before) for key in keys)
    return starts or (len(after) >= SHORTEST_END and any(key.endswith(after) for key in keys))


def _decoded(word: str) -> Iterator[str]:
    """What a word may stand for, if it is base64, from any of its first four characters on, or hex."""
    if re.fullmatch(r"[0-9a-fA-F]+", word):
        yield bytes.fromhex(word[: len(word) // 2 * 2]).decode("latin-1")
    plain = word.rstrip("=").replace("-", "+").replace("_", "/")
    for start in range(4):
        whole = plain[start:]
        try:
            yield base64.b64decode(whole[: len(whole) // 4 * 4] + _padded(whole)).decode("latin-1")
        except binascii.Error:
            continue


def _padded(base64_text: str) -> str:
    """The last, incomplete group of base64, with its padding."""
    rest = base64_text[len(base64_text) // 4 * 4 :]
    return rest + "=" * (4 - len(rest)) if len(rest) > 1 else ""
