"""How runs look in lists and on their pages."""

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.auth import get_user_model
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pgknowbase.admin import display
from pgknowbase.agents.models import Status

# The marks that the statuses of the index have.
MARKS = {
    "PENDING": "pending",
    "RUNNING": "processing",
    "COMPLETED": "completed",
    "FAILED": "dead",
    "CANCELLED": "idle",
    "WAITING": "pending",
    "REFUSED": "failed",
    "APPROVED": "completed",
    "DENIED": "dead",
}
ACTIVE = (Status.PENDING, Status.RUNNING)


def user_lookup(prefix: str = "user") -> str:
    """The lookup of a user's name, whatever the user model."""
    return f"{prefix}__{get_user_model().USERNAME_FIELD}"


def status_label(row: Any) -> SafeString:
    """The status with its mark."""
    return display.label(MARKS.get(row.status, "idle"), row.get_status_display())


def user_name(row: Any, field: str = "user") -> str:
    """The user's name; one who is gone is named by id."""
    key = getattr(row, f"{field}_id")
    if key is None:
        return display.EMPTY
    user = getattr(row, field)
    return f"{key} (deleted)" if user is None else str(user)


def seconds(value: float | None) -> str:
    """A time, to the millisecond."""
    return display.EMPTY if value is None else f"{value:,.3f} s"


def dollars(value: Any, *, known: bool = True) -> str:
    """A cost; one that is not known is never 0."""
    return "unknown" if value is None and not known else display.EMPTY if value is None else f"$ {value:,.6f}"


def link(site: AdminSite, row: Any, text: str) -> SafeString:
    """A row's page."""
    return format_html('<a href="{}">{}</a>', display.change_url(site, type(row), row.pk), text)
