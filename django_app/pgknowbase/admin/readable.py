"""JSON for people: indented, escaped, its long parts folded."""

import json
from collections.abc import Iterable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from pgknowbase.admin.display import EMPTY

SHORT = 400
LONGEST = 200_000
DEEPEST = 8


def readable_json(value: Any) -> SafeString | str:
    """``value`` as a tree. Parts of more than ``SHORT`` characters unfold; beyond ``LONGEST`` it is cut."""
    if value is None or value == {} or value == []:
        return EMPTY
    written = _written(value)
    if len(written) > LONGEST:
        left_out = len(written) - LONGEST
        return format_html(
            '{}<p class="help">{} more characters are not shown.</p>',
            _folded("JSON", _pre(written[:LONGEST])),
            left_out,
        )
    return _part(value, written, DEEPEST)


def _part(value: Any, written: str, depth: int) -> SafeString:
    if len(written) <= SHORT or not isinstance(value, dict | list) or not depth:
        return _pre(value if isinstance(value, str) and len(written) > SHORT else written)
    entries: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    return format_html(
        '<ul class="pgknowbase-tree">{}</ul>',
        format_html_join("", "<li>{}</li>", ((_entry(str(key), each, depth - 1),) for key, each in entries)),
    )


def _entry(key: str, value: Any, depth: int) -> SafeString:
    written = _written(value)
    if len(written) <= SHORT:
        return format_html("<b>{}</b> {}", key, _pre(written))
    kind = f"{len(value):,} {'characters' if isinstance(value, str) else 'entries'}"
    return _folded(f"{key}: {kind}", _part(value, written, depth))


def _folded(summary: str, inside: SafeString) -> SafeString:
    return format_html("<details><summary>{}</summary>{}</details>", summary, inside)


def _pre(text: str) -> SafeString:
    return format_html('<pre class="pgknowbase-text" dir="auto">{}</pre>', text)


def _written(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
