"""Markers such as ``[1]`` in an answer: those that name a passage stay, the others are dropped and reported."""

import re
from collections.abc import Sequence
from typing import Any

from pgknowbase.chat.retrieval import Passage

# '[1]', and '[1, 2]' for two. In code they are indexes and lists.
MARKER = r"\[\s*\d{1,4}(?:\s*[,;]\s*\d{1,4})*\s*\]"
CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
BEGINNING = re.compile(r" +\Z| *\[[\d\s,;]{0,40}\Z|`+\Z")


class Citations:
    """Lets the text of an answer through piece by piece, without markers that resolve to nothing.

    ``cited`` are the numbers seen so far in the order of their first use, ``dropped`` the markers left out.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = passages
        self.cited: list[int] = []
        self.dropped: list[str] = []
        self._held = ""
        self._fence = ""

    def feed(self, piece: str) -> str:
        """What can be shown of the text so far: what may become a marker is held back."""
        text = self._held + piece
        cut = BEGINNING.search(text)
        keep = cut.start() if cut else len(text)
        shown, self._held = text[:keep], text[keep:]
        return self._checked(shown)

    def cite(self, number: int) -> None:
        """Note a passage that is quoted without a model."""
        self.cited.append(number)

    def end(self) -> str:
        """The rest."""
        shown, self._held = self._held, ""
        return self._checked(shown)

    def used(self) -> list[dict[str, Any]]:
        """What each marker in the text names, by number."""
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


def without_markers(text: str) -> str:
    """``text`` as history: its markers name passages that are no longer shown."""
    parts, last = [], 0
    for code in CODE.finditer(text):
        parts += [re.sub(f" *{MARKER}", "", text[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*parts, re.sub(f" *{MARKER}", "", text[last:])])
