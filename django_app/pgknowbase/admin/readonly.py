"""What the admins of tables that the database owns have in common."""

from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest

from pgknowbase.conf import get_settings


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to ``most`` at the furthest, so that a list over millions of rows opens at once."""

    most = 100_000

    @cached_property
    def count(self) -> int:
        """The number of rows, or ``most`` where there are more."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.most].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists and shows the rows of the database that holds the index; adds, changes and deletes none."""

    paginator = BoundedPaginator
    show_full_result_count = False
    view_on_site = False

    class Media:
        css = {"all": ["pgknowbase/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return super().get_queryset(request).using(get_settings().database)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may act on the rows may see them."""
        return super().has_view_permission(request, obj) or self.granted(request, "change")

    def granted(self, request: HttpRequest, kind: str) -> bool:
        """Whether the user holds the model's permission ``kind`` (view, change or delete)."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.{kind}_{self.opts.model_name}"))
