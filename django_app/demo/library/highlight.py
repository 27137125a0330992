"""Marks the words of a query in a text."""

import re

from django.utils.html import conditional_escape, format_html, format_html_join
from django.utils.safestring import SafeString

MIN_WORD = 3


def highlight(text: str, query: str) -> SafeString:
    """``text`` escaped, with the words of ``query`` inside ``<mark>``."""
    words = sorted({re.escape(w) for w in re.findall(r"\w+", query) if len(w) >= MIN_WORD}, key=len, reverse=True)
    if not words:
        return conditional_escape(text)
    parts = re.split(rf"\b({'|'.join(words)})", text, flags=re.IGNORECASE)
    return format_html_join(
        "",
        "{}",
        ((format_html("<mark>{}</mark>", part) if index % 2 else part,) for index, part in enumerate(parts)),
    )
