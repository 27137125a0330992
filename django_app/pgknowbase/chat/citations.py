"""Citation markers such as ``[1]`` in an answer: those that name a passage stay, others are dropped and reported."""

import re
from collections.abc import Sequence
from typing import Any

from pgknowbase.chat.retrieval import Passage

# '[1]', and '[1, 2]' for two. In code such brackets are indexes and lists, and are left alone.
MARKER = r"\[\s*\d{1,4}(?:\s*[,;]\s*\d{1,4})*\s*\]"
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
PARTIAL_MARKER = re.compile(r" +\Z| *\[[\d\s,;]{0,40}\Z|`+\Z")


class Citations:
    """Filters the text of an answer, piece by piece, so that each marker in it names a passage.

    Attributes:
        cited: the numbers of cited passages, in the order of their first use.
        dropped: the markers that were removed, because a model has invented them.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.cited: list[int] = []
        self.dropped: list[str] = []
        self._held = ""
        self._fence = ""

    def feed(self, piece: str) -> str:
        """The text that can be shown after ``piece``. What may still become a marker is held back."""
        text = self._held + piece
        cut = PARTIAL_MARKER.search(text)
        keep = cut.start() if cut else len(text)
        shown, self._held = text[:keep], text[keep:]
        return self._checked(shown)

    def cite(self, number: int) -> None:
        """Record that passage ``number`` is cited, in an answer that was not written by a model."""
        self.cited.append(number)

    def end(self) -> str:
        """The text that was held back, at the end of the answer."""
        shown, self._held = self._held, ""
        return self._checked(shown)

    def used(self) -> list[dict[str, Any]]:
        """The citations in the text, sorted by number."""
        return [self.passages[number - 1].citation(number) for number in sorted(self.cited)]

    def _checked(self, text: str) -> str:
        return "".join(self._part(part) for part in re.split(r"(`+|\n)", text))

    def _part(self, part: str) -> str:
        if part.startswith("`") and self._fence in ("", part):
            self._fence = "" if self._fence else part
        elif part == "\n" and len(self._fence) < 3:  # code within a line ends with it
            self._fence = ""
        return part if self._fence else re.sub(f"( *)({MARKER})", self._replaced, part)

    def _replaced(self, found: re.Match[str]) -> str:
        numbers = list(dict.fromkeys(int(number) for number in re.findall(r"\d+", found[2])))
        good = [number for number in numbers if 1 <= number <= len(self.passages)]
        self.dropped += [f"[{number}]" for number in numbers if number not in good]
        self.cited += [number for number in good if number not in self.cited]
        return found[1] + "".join(f"[{number}]" for number in good) if good else ""


def marker_spans(text: str) -> list[tuple[int, int, int]]:
    """The markers of an answer: number, and the characters from, up to. Each names one passage; code has none."""
    code = [found.span() for found in CODE.finditer(text)]
    return [
        (int(found[1]), *found.span())
        for found in re.finditer(r"\[(\d{1,4})\]", text)
        if not any(start <= found.start() < end for start, end in code)
    ]


def without_markers(text: str) -> str:
    """``text`` without its markers, for the history: they name passages that the model does not see any more."""
    parts, last = [], 0
    for code in CODE.finditer(text):
        parts += [re.sub(f" *{MARKER}", "", text[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*parts, re.sub(f" *{MARKER}", "", text[last:])])
