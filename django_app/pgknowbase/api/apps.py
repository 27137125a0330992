from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "pgknowbase.api"
    label = "pgknowbase_api"
    verbose_name = "Knowledge base API"
    default_auto_field = "django.db.models.BigAutoField"
