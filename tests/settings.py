"""Settings of the test project; the database comes from tests.database (embedded unless DATABASE_URL is set)."""

SECRET_KEY = "tests"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES: dict = {}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "pgtrigger",
    "pgknowbase",
]
PGKNOWBASE = {
    "EMBEDDINGS": {
        "default": {
            "BACKEND": "pgknowbase.embeddings.static.StaticEmbedder",
            "MODEL": "wordllama-256",
            "DIMENSIONS": 256,
        },
    },
}
