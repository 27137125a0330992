"""The admins of ``AgentDefinition`` and ``AgentBudget``, which are edited here."""

from importlib.util import find_spec
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from pgknowbase.admin.base import ListedFiltersAdmin
from pgknowbase.agents.definitions import build_agent
from pgknowbase.agents.models import AgentBudget, AgentDefinition
from pgknowbase.agents.registry import agents, check_name
from pgknowbase.conf import get_settings
from pgknowbase.errors import AgentError

PERMISSIONS = ("allow", "deny", "ask")


class DefinitionForm(forms.ModelForm):  # type: ignore[type-arg]
    """Refuses what would fail when the agent runs."""

    def clean_name(self) -> str:
        """Refuse a name that rows and URLs cannot hold, and one that an agent in code would hide."""
        name: str = self.cleaned_data["name"]
        try:
            check_name(name)
        except AgentError as error:
            raise forms.ValidationError(str(error)) from error
        if name in agents:
            raise forms.ValidationError(f"An agent in code has the name {name!r}: choose another name.")
        return name

    def clean_toolsets(self) -> list[str]:
        """Refuse unknown tool sets."""
        from pgknowbase.agents.toolsets import TOOLSETS  # the extra

        names = self.cleaned_data["toolsets"] or []
        if not isinstance(names, list) or not all(isinstance(name, str) and name in TOOLSETS for name in names):
            raise forms.ValidationError(f"Give a list of these names: {', '.join(TOOLSETS)}.")
        return names

    def clean_permissions(self) -> dict[str, str]:
        """Refuse unknown permissions: one that nobody understands must not let a tool run."""
        given = self.cleaned_data["permissions"] or {}
        if not isinstance(given, dict) or not all(value in PERMISSIONS for value in given.values()):
            raise forms.ValidationError('Give an object such as {"search": "ask"}: "allow", "deny" or "ask" by tool.')
        return given


class EditedAdmin(ListedFiltersAdmin):
    """Rows that are edited in the admin, in the database of the index, which need not be the default one."""

    class Media:
        css = {"all": ["pgknowbase/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(get_settings().database)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.save(using=get_settings().database)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        obj.delete(using=get_settings().database)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **{"using": get_settings().database, **kwargs})

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{"using": get_settings().database, **kwargs})


@admin.register(AgentDefinition)
class AgentDefinitionAdmin(EditedAdmin):
    """Agents that are kept in the database."""

    form = DefinitionForm
    list_display = ("name", "kind", "model", "is_active", "problem", "is_public", "owner", "updated_at")
    list_filter = ("kind", "is_active", "is_public", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("name", "description", "instructions")
    raw_id_fields = ("owner", "users")
    filter_horizontal = ("groups",)
    readonly_fields = ("problem", "created_at", "updated_at")

    @admin.display(description="Why it cannot run", empty_value="")
    def problem(self, row: AgentDefinition) -> str:
        """What keeps a row that was not saved by this form from being an agent."""
        if row.pk is None or find_spec("pydantic_ai") is None:
            return ""
        try:
            build_agent(row).model_name()
        except AgentError as error:
            return str(error)
        return ""


@admin.register(AgentBudget)
class AgentBudgetAdmin(EditedAdmin):
    """Daily budgets."""

    list_display = ("__str__", "user", "agent_name", "runs", "tokens", "cost")
    list_display_links = ("__str__",)
    list_select_related = ("user",)
    search_fields = ("agent_name",)
    raw_id_fields = ("user",)
    ordering = ("agent_name", "pk")
