"""Analyses a text without a language model: keywords, a summary and related entries, from the index alone."""

import re
from dataclasses import dataclass
from pathlib import Path

from django.db import connection

from demo.library.models import Entry
from pgknowbase.core import gateway
from pgknowbase.keywords.language import language_of

KEYWORD_WEIGHTS = Path(__file__).with_name("keyword_weights.sql").read_text()
MAX_KEYWORDS = 5
MAX_RELATED = 3
MAX_WEIGHTED_WORDS = 50
MAX_QUERY_CHARACTERS = 4000
WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"(?<=[.!?])\s+")
VOWELS = re.compile(r"[aeiouy]+")


@dataclass(frozen=True, slots=True)
class Analysis:
    """``summary``: the sentence with the weightiest keywords; ``related``: names of the most similar entries.

    ``reading_ease``: Flesch's score, about 0 (hard) to 100 (easy); None for other languages than English.
    """

    summary: str
    keywords: list[str]
    related: list[str]
    language: str
    reading_ease: float | None


def analyse(title: str, body: str) -> Analysis:
    """Analyse a text with one query for its keywords and one hybrid search."""
    text = f"{title}\n{body}"
    language = language_of(text, gateway.languages(connection.alias))
    weights = _weights(text, language)
    nearest = Entry.objects.hybrid_search(text[:MAX_QUERY_CHARACTERS], limit=MAX_RELATED)
    return Analysis(
        summary=_best_sentence(body, weights),
        keywords=list(weights)[:MAX_KEYWORDS],
        related=[entry.qualname for entry in nearest],
        language=language,
        reading_ease=_reading_ease(body) if language == "english" else None,
    )


def _weights(text: str, language: str) -> dict[str, float]:
    """The keywords with their weights, the heaviest first. A lexeme is shown as the text spells it."""
    words = WORD.findall(text)
    with connection.cursor() as cursor:
        cursor.execute(KEYWORD_WEIGHTS, [language, text, MAX_WEIGHTED_WORDS])
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
        # At least 8, so that a heading of two words does not win.
        return sum(weights.get(word, 0) for word in set(words)) / max(len(words), 8)

    return max(sentences, key=weight, default="")


def _reading_ease(body: str) -> float | None:
    """The reading ease of Flesch (1948), counting each run of vowels as a syllable."""
    words = [word.lower() for word in WORD.findall(body)]
    if not words:
        return None
    sentences = sum(1 for sentence in SENTENCE.split(body) if sentence.strip())
    syllables = sum(max(1, len(VOWELS.findall(word.removesuffix("e")))) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)
