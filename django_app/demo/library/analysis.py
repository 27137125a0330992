"""What can be said of a text without a language model: by the words and the vectors of the index."""

import re
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from demo.library.models import Entry
from pgknowbase import gateway
from pgknowbase.relay.language import language_of

TELLING_WORDS = Path(__file__).with_name("telling_words.sql").read_text()
MOST_KEYWORDS = 5
MOST_RELATED = 3
MOST_WEIGHTS = 50
LONGEST_QUESTION = 4000
WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
VOWELS = re.compile(r"[aeiouy]+")


@dataclass(frozen=True, slots=True)
class Analysis:
    """``summary``: the sentence with the most telling words; ``related``: names of the nearest entries."""

    summary: str
    keywords: list[str]
    related: list[str]
    language: str
    reading_ease: float | None


def analyse(title: str, body: str) -> Analysis:
    """Analyse a text; asks the database, and no language model."""
    text = f"{title}\n{body}"
    language = language_of(text, gateway.languages(connection.alias))
    weights = _weights(text, language)
    nearest = Entry.objects.hybrid_search(text[:LONGEST_QUESTION], limit=MOST_RELATED)
    return Analysis(
        summary=_best_sentence(body, weights),
        keywords=list(weights)[:MOST_KEYWORDS],
        related=[entry.qualname for entry in nearest],
        language=language,
        reading_ease=_reading_ease(body) if language == "english" else None,
    )


def _weights(text: str, language: str) -> dict[str, float]:
    """The telling words as they stand in the text, the most telling first."""
    words = WORD.findall(text)
    with connection.cursor() as cursor:
        cursor.execute(TELLING_WORDS, [language, text, MOST_WEIGHTS])
        found = cursor.fetchall()
    weights: dict[str, float] = {}
    for lexeme, place, weight in found:
        word = words[place - 1].lower() if place <= len(words) else lexeme
        weights.setdefault(word if word.startswith(lexeme[:3]) else lexeme, weight)
    return weights


def _best_sentence(body: str, weights: dict[str, float]) -> str:
    sentences = [sentence for part in SENTENCE.split(body) if (sentence := " ".join(part.split()))]

    def weight(sentence: str) -> float:
        words = [word.lower() for word in WORD.findall(sentence)]
        return sum(weights.get(word, 0) for word in set(words)) / max(len(words), 8)

    return max(sentences, key=weight, default="")


def _reading_ease(body: str) -> float | None:
    """Flesch 1948, with a syllable for each run of vowels."""
    words = [word.lower() for word in WORD.findall(body)]
    if not words:
        return None
    sentences = sum(1 for sentence in SENTENCE.split(body) if sentence.strip())
    syllables = sum(max(1, len(VOWELS.findall(word.removesuffix("e")))) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)
