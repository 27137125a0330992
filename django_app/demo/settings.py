"""Settings of the demo. Safe by default; ``manage.py`` turns on what development needs."""

import os
from pathlib import Path

from demo.environment import comma_separated, database, flag, stored_secret

BASE_DIR = Path(__file__).resolve().parents[2]
STATE_DIR = Path(os.environ.get("DEMO_DIR", BASE_DIR / ".demo"))

DEBUG = flag("DJANGO_DEBUG")
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or (stored_secret(STATE_DIR / "secret_key") if DEBUG else "")
ALLOWED_HOSTS = comma_separated("DJANGO_ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = comma_separated("DJANGO_CSRF_TRUSTED_ORIGINS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = flag("DJANGO_HTTPS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "pgtrigger",
    "pgknowbase",
    "pgknowbase.agents",
    "pgknowbase.api",
    "pgknowbase.chat",
    "demo.library",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "demo.urls"
WSGI_APPLICATION = "demo.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": database(STATE_DIR / "pgdata")}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# The language model of the chat and of the agent that summarises drafts, such as "openai:gpt-4o-mini"; none is needed.
DEMO_MODEL = os.environ.get("DEMO_MODEL", "")
PGKNOWBASE = {
    "EMBEDDINGS": {
        "default": {
            "BACKEND": "pgknowbase.embeddings.local.LocalEmbedder",
            "MODEL": "all-MiniLM-L6-v2",
            "DIMENSIONS": 384,
        },
    },
    "AGENTS": {"MODEL": DEMO_MODEL},
    "CHAT": {"MODEL": DEMO_MODEL},
}
