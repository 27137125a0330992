# ruff: noqa: RUF001
"""What is a word, in texts that are not ASCII: the same on every server, and as Unicode has it."""

import os
import shutil
import subprocess
import unicodedata
from pathlib import Path

import psycopg
import pytest

from pgknowbase.core.sql_files import read_sql
from pgknowbase.embedded import EmbeddedPostgres

FUNCTIONS = ("lower", "part_words", "bigrams", "tokenize_ascii", "tokenize_document_v1")
LOCALES = {
    "libc_C": "LOCALE_PROVIDER libc LOCALE 'C'",
    "libc_C_UTF_8": "LOCALE_PROVIDER libc LOCALE 'C.UTF-8'",
    "builtin_with_ctype_C": "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'",
}
DEBIAN = Path("/usr/lib/postgresql/15/bin")
# Marks at which the parser ends a word, so that under each locale they have to.
PARTED = set(map(chr, (0x1715, 0x1734, 0x1BF2, 0x1BF3, 0x1CE1, 0x1CF7, 0x302E, 0x302F, 0xA9C0, 0xABEC)))
PARTED |= set(map(chr, (0x111C0, 0x11235, 0x1134D, 0x116B6, 0x1193D, 0x1D165, 0x1D166, *range(0x1D16D, 0x1D173))))
# As an apostrophe, at which words are parted, too.
APOSTROPHES = set("ʹʺʻʼʽʾʿˀˁ")
UNSEEN = set(map(chr, (0x34F, 0x640, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, *range(0x180B, 0x1810))))
UNSEEN |= set(map(chr, range(0xFE00, 0xFE10)))
# What later versions of Unicode have added is known to some Pythons and servers only.
NEWER = [(0xCF3, 0xCF3), (0xECE, 0xECE), (0x2FFC, 0x2FFF), (0x31E4, 0x31EF), (0x10EC0, 0x10EFF), (0x1123F, 0x11241)]
NEWER += [(0x11B00, 0x11B09), (0x11F00, 0x11F59), (0x1342F, 0x13455), (0x1B132, 0x1B155), (0x1D2C0, 0x1D2D3)]
NEWER += [(0x1DF25, 0x1DF2A), (0x1E030, 0x1E08F), (0x1E4D0, 0x1E4F9), (0x1F6D5, 0x1FAFF), (0x2EBF0, 0x2EE5D)]
FOLDED = {"ς": "σ", "İ": "i"}
TEXTS = {
    "Acme™ Einstein¹": "'1':4 'acme':1 'einstein':3 'einstein1':5 'tm':2",
    "5½ 10⁶ ¹footnote": "'1':2,6 '10':4 '2':3 '5':1 '6':5 'footnote':7",
    "m² CO₂ 1ˢᵗ": "'1st':5 '2':2 'co2':4 'm':1 'm2':3",
    "call +49 30": "'30':3 '49':2 'call':1",
    "so\u00adft zero\u200bwidth wo\u2060rd end\u200f": "'end':4 'soft':1 'word':3 'zerowidth':2",
    "\ufeffשלום\u200f كتـــاب": "'שלום':1 'كتاب':2",
    "ΟΔΟΣ οδος Οδός": "'οδοσ':1,2 'οδόσ':3",
    "٢٠٢٤ ۲۰۲۴ २०२४ ２０２４": "'2024':1,2,3,4",
    "“Quoted”—dash ‘it’ L’Été": "'dash':2 'it':3 'l':4 'quoted':1 'été':5",
    "ÉCOLE Жук İstanbul": "'istanbul':3 'école':1 'жук':2",
    "हिन्दी में ﬁne ＡＢＣ ´x": "'abc':4 'fine':3 'x':5 'में':2 'हिन्दी':1",
    "我喜欢红茶。": "'喜欢':2 '我喜':1 '欢红':3 '红茶':4 '茶':5",
    "서울에서": "'서':4 '서울':1 '에서':3 '울에':2",
}


def words(connection, text):
    return connection.execute("SELECT pgknowbase_tokenize_document_v1('simple', %s)::text", [text]).fetchone()[0]


def install(url):
    """A connection to a database that has nothing but these functions."""
    connection = psycopg.connect(url, autocommit=True)
    for name in FUNCTIONS:
        connection.execute(read_sql(f"30_keywords/pgknowbase_{name}.sql"))
    return connection


@pytest.fixture(params=LOCALES)
def elsewhere(request, database_url):
    """A database of another locale, on the server of the tests."""
    with psycopg.connect(database_url, autocommit=True) as server:
        locale = LOCALES[request.param]
        if server.info.server_version < 170000:
            if "builtin" in locale:
                pytest.skip("the server has no locales of its own")
            locale = locale.replace("LOCALE_PROVIDER libc ", "")
        server.execute(f"CREATE DATABASE test_locale TEMPLATE template0 ENCODING 'UTF8' {locale}")
        connection = install(psycopg.conninfo.make_conninfo(database_url, dbname="test_locale"))
        yield connection
        connection.close()
        server.execute("DROP DATABASE test_locale")


@pytest.fixture
def debian_server(place):
    """Start Debian's Postgres 15 with a locale; the URL of its database."""
    if not (DEBIAN / "initdb").exists():
        pytest.skip("needs Debian's Postgres 15")
    home, account = place / "debian", ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def run(program, *arguments):
        subprocess.run([*account, DEBIAN / program, "-D", home / "data", *arguments], check=True, cwd=home, stdout=-3)

    def start(locale):
        home.mkdir()
        if account:
            shutil.chown(home, "postgres")
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", f"--locale={locale}", "--no-sync")
        options = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off -c shared_buffers=16MB"
        run("pg_ctl", "-w", "-l", home / "log", "-o", options, "start")
        return f"postgresql://postgres@/postgres?host={home}"

    yield start
    if (home / "data/postmaster.pid").exists():
        run("pg_ctl", "-w", "-m", "immediate", "stop")


@pytest.fixture
def here(database_url):
    with psycopg.connect(database_url) as connection:
        yield connection


def unicode_is_followed(connection):
    characters = [chr(n) for n in range(0x80, 0x30000) if not 0xD800 <= n < 0xE000]
    newer = {chr(n) for first, last in NEWER for n in range(first, last + 1)}
    known = [c for c in characters if c not in newer and unicodedata.category(c) not in ("Cn", "Co")]
    # Of the ideographs and syllables, which are many and alike, a few.
    known = [c for n, c in enumerate(known) if n % 100 == 0 or not ("\u3400" <= c < "\ud800" or c >= "\U00020000")]
    statement = (
        "SELECT to_tsvector('simple', translate(pgknowbase_part_words('a' || c || 'b'), './-+@<&~', ' '))::text"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS u (c, n) ORDER BY n"
    )
    found = [row[0] for row in connection.execute(statement, [known]).fetchall()]
    for character, parted in zip(known, found, strict=True):
        category = unicodedata.category(character)
        if category == "Cf" or unicodedata.normalize("NFKC", character) != character:
            continue
        if category[0] in "LM" and character not in PARTED | APOSTROPHES:
            lower = "" if character in UNSEEN else FOLDED.get(character, character.lower())
            assert parted == f"'{unicodedata.normalize('NFKC', f'a{lower}b')}':1", hex(ord(character))
        elif category == "Nd":
            assert parted == f"'a{unicodedata.digit(character)}b':1", hex(ord(character))
        elif category != "Nl":
            assert parted == "'a':1 'b':2", hex(ord(character))


@pytest.mark.django_db(transaction=True)
def test_letters_are_those_of_unicode(here):
    unicode_is_followed(here)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", TEXTS)
def test_words(here, text):
    assert words(here, text) == TEXTS[text]


@pytest.mark.django_db(transaction=True)
def test_words_are_the_same_under_another_locale(elsewhere):
    assert {text: words(elsewhere, text) for text in TEXTS} == TEXTS
    unicode_is_followed(elsewhere)


@pytest.mark.django_db(transaction=True)
def test_words_are_the_same_on_postgres_16(place):
    options = {"fsync": "off", "shared_buffers": "16MB"}
    with EmbeddedPostgres(place / "pg", version=16, options=options) as server, install(server.url) as connection:
        assert connection.info.server_version // 10000 == 16
        assert {text: words(connection, text) for text in TEXTS} == TEXTS
        unicode_is_followed(connection)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_words_are_the_same_on_postgres_15_of_debian(debian_server, locale):
    with install(debian_server(locale)) as connection:
        assert connection.info.server_version // 10000 == 15
        assert {text: words(connection, text) for text in TEXTS} == TEXTS
        unicode_is_followed(connection)
