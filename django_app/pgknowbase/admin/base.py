"""The base of all admins here: read-only pages over tables that triggers and workers write."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest

from pgknowbase.conf import get_settings


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most ``max_count`` rows, so that a list over millions of rows opens at once."""

    max_count = 100_000

    @cached_property
    def count(self) -> int:
        """The number of rows, or ``max_count`` if there are more."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.max_count].count())


# What the filters of Django's lists put behind the name of a field.
FILTER_LOOKUPS = {"exact", "in", "isnull", "gt", "gte", "lt", "lte", "year", "month", "day"}


class ListedFiltersAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """An admin whose address filters by what its list offers, and by nothing else.

    Django allows any lookup on a model's own fields. With ``?session_data__cart__startswith=`` or
    ``?digest__startswith=`` whoever may see the list could read, character by character, what its pages do not show.

    Attributes:
        linked_lookups: further lookups, which links on our own pages use.
    """

    linked_lookups: tuple[str, ...] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        if lookup in self.linked_lookups:
            return True
        offered = {getattr(each, "parameter_name", each) for each in self.list_filter} | {self.date_hierarchy}
        name, _, last = lookup.rpartition("__")
        return lookup in offered or (last in FILTER_LOOKUPS and name in offered)


class ReadOnlyAdmin(ListedFiltersAdmin):
    """Lists and shows the rows of the database that holds the index; adds, changes and deletes none."""

    paginator = BoundedPaginator
    show_full_result_count = False
    view_on_site = False

    class Media:
        css = {"all": ["pgknowbase/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        # The index may live in another database than Django's default one.
        return super().get_queryset(request).using(get_settings().database)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may act on the rows may see them."""
        return super().has_view_permission(request, obj) or self.has_model_permission(request, "change")

    def has_model_permission(self, request: HttpRequest, action: str) -> bool:
        """Whether the user holds the model's permission for ``action`` (view, add, change or delete).

        ``has_change_permission`` says no here, as nobody edits these rows; actions ask for the permission itself.
        """
        return bool(request.user.has_perm(f"{self.opts.app_label}.{action}_{self.opts.model_name}"))
