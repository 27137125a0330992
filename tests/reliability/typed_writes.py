"""Writes whose outcome depends on types and sessions: keys with several spellings, values that only look equal.

Literals are read by the session that writes them, so one text may be another value in the next session.
"""

import threading

from django.core.management import call_command
from django.db import connection, transaction

from tests.projects.press.models import Hall, Sheet, Venue
from tests.reliability.writes import execute, operation

# Settings of a session that change how values are read or printed.
SESSION = {
    "TimeZone": ["UTC", "Asia/Kathmandu", "America/St_Johns"],
    "DateStyle": ["ISO, MDY", "SQL, DMY", "German", "Postgres, MDY"],
    "IntervalStyle": ["postgres", "sql_standard", "iso_8601", "postgres_verbose"],
    "extra_float_digits": ["1", "-15", "3"],
    "bytea_output": ["hex", "escape"],
}
MOMENTS = ["2026-01-02 03:04:05", "2026-01-02 03:04:05+00", "2026-07-01 12:00:00.25 Europe/Berlin", "0987-01-02 00:00"]
# Tables by their key columns, and literals of these. Some are equal, such as the first two of each.
KEYS = {
    "press_host": {"key": ["10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.1", "2001:DB8::1", "::1"]},
    "press_route": {"key": ["{1,2}", "{1,  2}", "{}", "{NULL,3}", "{-7}"]},
    "press_label": {"key": ["a", "A", "ab", "aB", "é", "É", "[1]", '"']},
    "press_mark": {
        "code": ["ab", "ab ", "AB", "abcde", "é"],
        "level": ["0", "-0", "0.1", "1e16", "NaN", "123456789.123456789"],
        "digest": ["\\x00ff", "\\x00FF", "\\x", "\\x4142"],
    },
    "press_shift": {
        "start": ["01:02:03", "01:02:03.000", "00:00", "23:59:59.999999"],
        "length": ["30 days", "1 mon", "720:00", "-00:00:00.25", "1 day 2:03"],
    },
    "press_slot": {"host_id": ["10.0.0.1", "10.0.0.1/32", "::1"], "is_open": ["t", "f"], "at": MOMENTS},
}
# Columns of press_record with literals of which the first two are equal to their type, or would be to a sloppy reader.
VALUES = {
    "binary": ['{"a": 1}', '{"a": 1.0}', '{"a": 2}', "[]"],
    "raw": ['{"a": 1}', '{"a":1}', '{"b": 1, "a": 1}', '{"a": 1, "b": 1}'],
    "amount": ["1.0", "1.000", "-2", "NaN"],
    "span": ["1 mon", "30 days", "720:00", "1 day"],
    "level": ["0", "-0", "1.5"],
    "caseless": ["word", "Word", "other"],
    "folded": ["word", "Word", "other"],
}
renaming = threading.Lock()


def keyed(press):
    """A table with the names of its key columns, and a key."""
    table = press.random.choice(list(KEYS))
    return table, list(KEYS[table]), [press.random.choice(values) for values in KEYS[table].values()]


def where(columns):
    return " AND ".join(f'"{name}" = %s' for name in columns)


@operation(8)
def keyed_upsert(press):
    table, columns, key = keyed(press)
    names = ", ".join(f'"{name}"' for name in columns)
    if table == "press_slot":
        execute("INSERT INTO press_host (key, text) VALUES (%s, %s) ON CONFLICT DO NOTHING", key[0], press.text())
    execute(
        f"INSERT INTO {table} ({names}, text) VALUES ({', '.join(['%s'] * len(key))}, %s)"
        f" ON CONFLICT ({names}) DO UPDATE SET text = excluded.text",
        *key,
        press.text(),
    )


@operation(2)
def keyed_update(press):
    table, columns, key = keyed(press)
    execute(f"UPDATE {table} SET text = %s WHERE {where(columns)}", press.text(), *key)


@operation(2)
def keyed_delete(press):
    table, columns, key = keyed(press)
    execute(f"DELETE FROM {table} WHERE {where(columns)}", *key)


@operation(2)
def keyed_change(press):
    """Another key, or the same one written another way."""
    table, columns, key = keyed(press)
    name = press.random.choice(columns)
    new = press.random.choice(KEYS[table][name])
    execute(f'UPDATE {table} SET "{name}" = %s WHERE {where(columns)}', new, *key)


@operation()
def keyed_replace_under_deferred_keys(press):
    key = press.random.choice(KEYS["press_slot"]["host_id"])
    with transaction.atomic():
        execute("DELETE FROM press_host WHERE key = %s", key)
        execute("INSERT INTO press_host (key, text) VALUES (%s, %s)", key, press.word())


@operation(0.1)
def keyed_truncate(press):
    execute(f"TRUNCATE {press.random.choice(list(KEYS))} CASCADE")


@operation()
def record_insert(press):
    drawn = [press.random.choice(values) for values in VALUES.values()]
    names = ", ".join(f'"{name}"' for name in VALUES)
    execute(f"INSERT INTO press_record ({names}) VALUES ({', '.join(['%s'] * len(drawn))})", *drawn)


@operation(3)
def record_update(press):
    """One column alone, so that nothing else says that the row has changed."""
    name = press.random.choice(list(VALUES))
    value, third = press.random.choice(VALUES[name]), press.random.randint(0, 2)
    execute(f'UPDATE press_record SET "{name}" = %s WHERE id %% 3 = %s', value, third)


@operation(0.2)
def record_delete(press):
    execute("DELETE FROM press_record WHERE id %% 5 = %s", press.random.randint(0, 4))


@operation()
def hall_create(press):
    Hall.objects.create(name=press.word(), seats=press.random.randint(0, 9))


@operation()
def hall_change(press):
    Venue.objects.filter(pk__in=press.keys(Venue)).update(name=press.word())
    Hall.objects.filter(pk__in=press.keys(Hall)).update(seats=press.random.randint(0, 9))


@operation()
def hall_replace_parent(press):
    hall = press.one(Hall)
    if hall is not None:
        with transaction.atomic():
            execute("DELETE FROM press_venue WHERE id = %s", hall.pk)
            execute("INSERT INTO press_venue (id, name) VALUES (%s, %s)", hall.pk, press.word())


@operation(0.3)
def hall_delete(press):
    for hall in press.some(Hall, most=1):
        hall.delete()


@operation()
def sheet_create(press):
    Sheet.objects.bulk_create([Sheet(text=press.text()) for _ in range(2)])


@operation()
def sheet_change(press):
    Sheet.objects.filter(pk__in=press.keys(Sheet)).update(text=press.text())
    Sheet.objects.filter(pk__in=press.keys(Sheet, most=1)).delete()


@operation(0.004, alone=True)
def sheet_was_called_leaf(press):
    """The model has its former name, rows change under it, and the migration that renames it is applied."""
    if not renaming.acquire(blocking=False):
        return  # another writer is at it
    try:
        call_command("migrate", "press", "0005", verbosity=0)
        execute("INSERT INTO press_leaf (text) VALUES (%s)", press.text())
        execute("UPDATE press_leaf SET text = %s WHERE id %% 3 = %s", press.text(), press.random.randint(0, 2))
        execute("DELETE FROM press_leaf WHERE id %% 5 = %s", press.random.randint(0, 4))
    finally:
        apply_all()
        renaming.release()


def apply_all(attempts=5):
    """Migrations may lose against writers, whose locks they wait for."""
    for attempt in range(attempts):
        try:
            return call_command("migrate", verbosity=0)
        except Exception:
            if attempt == attempts - 1:
                raise
            connection.close()
    return None


def configure(draw):
    """Give this thread's session other settings."""
    chosen = {name: draw.choice(values) for name, values in SESSION.items()}
    _set(chosen)
    return chosen


def reset():
    _set({name: values[0] for name, values in SESSION.items()})


def _set(values):
    calls = ", ".join(["set_config(%s, %s, false)"] * len(values))
    execute(f"SELECT {calls}", *(part for item in values.items() for part in item))
