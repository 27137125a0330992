"""A local model in memory: its tokenizer, what it knows of a text, and how a text's tokens become a vector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CONTINUED = "##"  # a piece within a word, of tokenizers that mark these
_SPACES = ("\u2581", "\u0120")  # the marks of a word's begin, of the others
_UNKNOWN = ("[UNK]", "<unk>", "<UNK>")


@dataclass(frozen=True, slots=True)
class Words:
    """What a model knows of a text: ``words`` that it could know, ``unknown`` ones among them; ``has_content`` says
    whether there is anything but space."""

    has_content: bool
    words: int
    unknown: int


class Loaded:
    """A model in memory.

    Args:
        tokenizer: without padding, cutting texts at what the model reads.
        vector: gives the vector of the ids of one text's tokens.

    Attributes:
        marks: how many tokens are put around each text.
    """

    def __init__(self, tokenizer: Any, vector: "Callable[[Sequence[int]], npt.NDArray[np.float32]]") -> None:
        self.tokenizer, self.vector = tokenizer, vector
        self.marks: int = tokenizer.num_special_tokens_to_add(False)
        mask = tokenizer.encode("a").special_tokens_mask
        self._ends = len(mask) - 1 - max((place for place, special in enumerate(mask) if not special), default=0)
        found = (tokenizer.token_to_id(token) for token in _UNKNOWN)
        self._unknown: int | None = next((token for token in found if token is not None), None)
        self._heads: dict[str, int] = {}

    def ids(self, texts: Sequence[str], prefix: str) -> list[list[int]]:
        """The ids of the tokens of each text, with the prefix."""
        encodings = self.tokenizer.encode_batch_fast([prefix + text for text in texts] if prefix else list(texts))
        return [encoding.ids for encoding in encodings]

    def words(self, ids: Sequence[int], prefix: str) -> Words:
        """What of these tokens is known, the prefix and the marks around it left out."""
        if prefix not in self._heads:
            self._heads[prefix] = len(self.tokenizer.encode(prefix.strip()).ids) - self._ends
        content = ids[self._heads[prefix] : len(ids) - self._ends]
        unknown = 0 if self._unknown is None else content.count(self._unknown)
        if content and not unknown and not prefix:
            return Words(has_content=True, words=len(content), unknown=0)  # the usual case, without a look at each
        tokens = [self.tokenizer.id_to_token(token) for token in content if token != self._unknown]
        has_content = unknown > 0 or any(token not in _SPACES for token in tokens)
        return Words(has_content, words=unknown + sum(map(_begins_a_word, tokens)), unknown=unknown)

    def reads(self, text: str) -> bool:
        """Whether at least half of the tokens of a text are words, or parts of words.

        Of a language that it was not made for, a tokenizer that marks what continues a word knows letters at most.
        With a model of English such tokens are up to a quarter of an English or German text, and from two thirds on
        of an Arabic one.
        """
        # Without the marks around a text, which would count as words and decide for short ones.
        found = self.tokenizer.encode(text, add_special_tokens=False).tokens
        tokens = [token for token in found if token in _UNKNOWN or any(map(str.isalnum, token))]
        return 2 * sum(token in _UNKNOWN or _is_letter_within_a_word(token) for token in tokens) <= len(tokens)


def _is_letter_within_a_word(token: str) -> bool:
    return token.startswith(_CONTINUED) and len(token) == len(_CONTINUED) + 1


def _begins_a_word(token: str) -> bool:
    return not token.startswith(_CONTINUED) and any(character.isalnum() for character in token)
