"""Keys in the errors of providers: nobody who reads the error learns the key, or a part of it."""

import base64
import html
import json
from urllib.parse import quote

import pytest

from pgknowbase.core.secrets import without_secrets

KEY = "sk-proj-Ab3xK9+/qW7zT1m&Ue5Vn8"

FORMS = {
    "plain": KEY,
    "upper case": KEY.upper(),
    "lower case": KEY.lower(),
    "in a URL": quote(KEY, safe=""),
    "every character in a URL": "".join(f"%{ord(letter):02x}" for letter in KEY),
    "in JSON": json.dumps(KEY).replace("/", "\\/"),
    "every character in JSON": "".join(f"\\u{ord(letter):04x}" for letter in KEY),
    "as bytes": "".join(f"\\x{ord(letter):02x}" for letter in KEY),
    "in HTML": html.escape(KEY),
    "every character in HTML": "".join(f"&#{ord(letter)};" for letter in KEY),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"?>?{KEY}".encode()).decode(),
    "base64 after one more byte": base64.b64encode(f"x{KEY}".encode()).decode(),
    "basic authentication": base64.b64encode(f"me:{KEY}".encode()).decode(),
    "base64 without padding": base64.b64encode(f"user{KEY}".encode()).decode().rstrip("="),
    "hex": KEY.encode().hex(),
    "its beginning": KEY[:18],
    "its end": KEY[-15:],
    "its middle": KEY[8:20],
    "its middle hidden": f"{KEY[:5]}**********{KEY[-4:]}",
    "cut by dots": f"{KEY[:10]}...",
}


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    monkeypatch.setenv("HOUSE_API_KEY", KEY)
    monkeypatch.setenv("SHORT_TOKEN", "abc")
    monkeypatch.setenv("WORDY_TOKEN", "production-database-passphrase")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_no_part_of_a_key_stays(form):
    shown = without_secrets(f"Incorrect API key provided: {form} (see the list of keys at house.example, error 401).")
    assert shown.startswith("Incorrect API key provided: ")
    assert shown.endswith(" (see the list of keys at house.example, error 401).")
    assert "***" in shown
    for start in range(len(form) - 4):
        assert form[start : start + 5] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rate limit reached for gpt-4o-mini in organization org-1234567890ab on tokens per min: 30000 / 30000.",
        "The production database is down... &amp; 100%25 of abc, \\u00e9 and SGVsbG8gd29ybGQ= stay.",
        "x" * 3000,
    ],
)
def test_other_texts_stay_as_they_are(text):
    assert without_secrets(text) == text


def test_a_key_that_looks_like_words_is_found_as_a_whole():
    assert without_secrets("not Production-Database-Passphrase!") == "not ***!"
