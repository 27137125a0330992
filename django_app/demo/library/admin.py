"""Admin of the demo's own tables; the index has its own in pgknowbase."""

from django.contrib import admin

from demo.library.models import Draft, Entry, Module


@admin.register(Module)
class ModuleAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Modules; a change here reaches the index like any other."""

    list_display = ["name", "library", "summary"]
    list_filter = ["library"]
    search_fields = ["name"]


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Entries; edit a docstring and search for it a moment later."""

    list_display = ["qualname", "kind", "module", "summary"]
    list_filter = ["kind", "module__library"]
    list_select_related = ["module"]
    search_fields = ["qualname"]
    autocomplete_fields = ["module"]


@admin.register(Draft)
class DraftAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Drafts; a moment after one is saved, the worker has filled the read-only fields."""

    list_display = ["title", "language", "reading_ease", "summary"]
    search_fields = ["title"]
    readonly_fields = ["summary", "keywords", "related", "language", "reading_ease", "analysed_by", "analysed_at"]
