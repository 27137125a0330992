"""How values look on the admin's pages. Every text is escaped, and has the direction of its own script."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from pgknowbase.core.times import local
from pgknowbase.models import ExternalData, ExternalDataStatus

EMPTY = "-"
LONGEST_JSON = 20_000


def label(kind: str, text: str) -> SafeString:
    """A text with a coloured mark before it."""
    return format_html('<span class="pgknowbase-label pgknowbase-{}">{}</span>', kind, text)


def text(value: str, *, longest: int | None = None) -> SafeString:
    """A text of any script, cut to ``longest`` characters."""
    return format_html('<span dir="auto">{}</span>', Truncator(value).chars(longest) if longest else value)


def preformatted(value: str) -> SafeString | str:
    """A text with its line breaks kept."""
    return format_html('<pre class="pgknowbase-text" dir="auto">{}</pre>', value) if value else EMPTY


def as_json(value: Any) -> SafeString | str:
    """Indented JSON, cut where it is longer than ``LONGEST_JSON``."""
    if not value:
        return EMPTY
    written = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2, sort_keys=True)
    return format_html('<pre class="pgknowbase-text">{}</pre>', Truncator(written).chars(LONGEST_JSON))


def moment(value: datetime | None) -> str:
    """A time in the current time zone, short."""
    return date_format(local(value), "SHORT_DATETIME_FORMAT") if value else EMPTY


def tag_list(tags: list[str]) -> SafeString | str:
    """The tags side by side."""
    return format_html_join(" ", '<span class="pgknowbase-tag" dir="auto">{}</span>', ((tag,) for tag in tags)) or EMPTY


def is_dead(data: ExternalData) -> bool:
    """Whether the object has failed and is not tried again by itself."""
    return data.status == ExternalDataStatus.FAILED and data.retry_at is None


def status_label(data: ExternalData) -> SafeString:
    """The status, a dead letter told from a failure that will be tried again."""
    return label("dead", "Dead letter") if is_dead(data) else label(data.status, data.get_status_display())


def model_label(model: type[models.Model] | None, fallback: str) -> SafeString | str:
    """The name of a source model, or ``fallback`` marked as unknown to this project."""
    if model is not None:
        return model._meta.label
    return format_html("{} {}", fallback, label("unknown", "unknown to this project"))


def type_name(content_type: ContentType) -> str:
    """The label of a content type whose model may be gone."""
    return f"{content_type.app_label}.{content_type.model}"


def owner_name(data: ExternalData) -> str:
    """The owner's name; an owner deleted behind Django's back is named by id."""
    if data.owner_id is None:
        return EMPTY
    return str(data.owner) if data.owner is not None else f"{data.owner_id} (deleted)"


def change_url(site: AdminSite, model: type[models.Model], pk: Any) -> str:
    """The address of a row's page in this admin site."""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return reverse(name, args=[pk], current_app=site.name)


def may_open(site: AdminSite, model: type[models.Model], request: HttpRequest) -> bool:
    """Whether the model has pages in this admin site that the user may see."""
    return site.is_registered(model) and site.get_model_admin(model).has_view_or_change_permission(request)


# Readable JSON: indented, escaped, its long parts folded


SHORT = 400
LONGEST = 200_000
DEEPEST = 8


def readable_json(value: Any) -> SafeString | str:
    """``value`` as a tree. Parts of more than ``SHORT`` characters unfold; beyond ``LONGEST`` it is cut."""
    if value is None or value == {} or value == []:
        return EMPTY
    written = _written(value)
    if len(written) > LONGEST:
        omitted = len(written) - LONGEST
        return format_html(
            '{}<p class="help">{} more characters are not shown.</p>',
            _folded("JSON", _pre(written[:LONGEST])),
            omitted,
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
