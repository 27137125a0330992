"""Tokens in the admin: created, shown once, revoked."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest

from pgknowbase.admin.base import ReadOnlyAdmin
from pgknowbase.api import tokens
from pgknowbase.api.models import ApiToken
from pgknowbase.api.tokens import SCOPES


class ApiTokenForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    requester: Any = None

    class Meta:
        model = ApiToken
        fields = ("user", "name", "scopes", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        scopes: Any = self.fields["scopes"]
        scopes.choices = list(SCOPES.items())

    def clean_user(self) -> Any:
        """A token acts as its user, so only those who may act for that user create one for them."""
        user, requester = self.cleaned_data["user"], self.requester
        if user != requester and not requester.has_perm("pgknowbase_api.act_for_others"):
            raise forms.ValidationError("You may not act for others: choose yourself.")
        if user.is_superuser and not requester.is_superuser:
            raise forms.ValidationError("Only a superuser acts for a superuser: choose another user.")
        return user


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """Adds tokens and revokes them; the secret is in the message after adding, and nowhere else."""

    form = ApiTokenForm
    list_display = ("name", "prefix", "user", "scopes", "expires_at", "revoked_at", "last_used_at")
    list_filter = ("revoked_at", "expires_at")
    list_select_related = ("user",)
    search_fields = ("name", "prefix")
    raw_id_fields = ("user",)
    ordering = ("-created_at",)
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_model_permission(request, "add")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ApiTokenForm.Meta.fields if obj is None else self.list_display

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            return type("ApiTokenForm", (ApiTokenForm,), {"requester": request.user})
        return super().get_form(request, obj, change, form=forms.ModelForm, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        secret = tokens.assign_secret(obj)
        super().save_model(request, obj, form, change)
        messages.warning(request, f"The token is {secret} - copy it now, it is not shown again.")

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: Any) -> None:
        """End the tokens of the selection now."""
        for token in queryset:
            tokens.revoke(token)
        messages.success(request, f"Revoked: {len(queryset)}.")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tokens may end them."""
        return self.has_model_permission(request, "change")
