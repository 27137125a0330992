"""What the index must hold, made of the committed rows by plain SQL, and what it does hold."""

import hashlib

from django.db import connection

from tests.projects.press.models import RELATIONS

RELATED = """
    || E'\nby ' || coalesce(w.name, '-')
    || E'\nin ' || coalesce(c.name, '-') || ' of ' || coalesce(p.name, '-')
    || coalesce((SELECT string_agg(E'\ncomment ' || m.body, '' ORDER BY m.body COLLATE "C")
                 FROM press_comment m WHERE m.article_id = a.id), '')
"""
TAGS = """
    ARRAY(SELECT DISTINCT t.name FROM press_tag t JOIN press_article_tags x ON x.tag_id = t.id
          WHERE x.article_id = a.id ORDER BY t.name)
"""
EXPECTED = f"""
SELECT 'article', a.id::text, a.title,
    a.body || E'\nauthor ' || coalesce(a.author_id::text, 'None')
    || E'\ncategory ' || coalesce(a.category_id::text, 'None')
    {RELATED if RELATIONS else ""},
    jsonb_build_object('author', a.author_id, 'rating', a.rating)::text,
    {TAGS if RELATIONS else "ARRAY['c' || coalesce(a.category_id::text, 'None')]"}, a.owner_id, false
FROM press_article a LEFT JOIN press_author w ON w.id = a.author_id
LEFT JOIN press_category c ON c.id = a.category_id LEFT JOIN press_category p ON p.id = c.parent_id
WHERE NOT a.hidden
UNION ALL SELECT 'page', id::text, text, text, '{{}}', '{{}}', NULL, true FROM press_page WHERE text <> ''
UNION ALL SELECT 'slip', key, key, text, '{{}}', '{{}}', NULL, false FROM press_slip WHERE text <> ''
UNION ALL SELECT 'cell', jsonb_build_array("row"::text, "column")::text, text, text, '{{}}', '{{}}', NULL, false
    FROM press_cell WHERE text <> ''
UNION ALL SELECT 'record', id::text, 'record', concat_ws(E'\n', "binary"::text, raw::text, amount::text, span::text,
    level::text, caseless::text, folded), '{{}}', '{{}}', NULL, false FROM press_record
UNION ALL SELECT 'hall', v.id::text, v.name, v.name || ' has ' || h.seats || ' seats', '{{}}', '{{}}', NULL, false
    FROM press_hall h JOIN press_venue v ON v.id = h.venue_ptr_id
UNION ALL SELECT 'sheet', id::text, text, text, '{{}}', '{{}}', NULL, false FROM press_sheet
UNION ALL SELECT 'host', CASE family(key) WHEN 4 THEN replace(key::text, '/32', '')
    ELSE replace(key::text, '/128', '') END, text, text, '{{}}', '{{}}', NULL, false FROM press_host
UNION ALL SELECT 'route', '[' || array_to_string(key, ', ', 'null') || ']', text, text, '{{}}', '{{}}', NULL, false
    FROM press_route
UNION ALL SELECT 'label', key::text, text, text, '{{}}', '{{}}', NULL, false FROM press_label
UNION ALL SELECT 'mark', jsonb_build_array(rtrim(code), encode(float8send(CASE level WHEN 0 THEN 0 ELSE level END),
    'hex'), encode(digest, 'hex'))::text, text, text, '{{}}', '{{}}', NULL, false FROM press_mark
UNION ALL SELECT 'shift', jsonb_build_array(to_char(start, 'HH24:MI:SS.US'),
    (extract(epoch FROM length) * 1000000)::bigint::text)::text, text, text, '{{}}', '{{}}', NULL, false
    FROM press_shift
UNION ALL SELECT 'slot', jsonb_build_array(CASE family(host_id) WHEN 4 THEN replace(host_id::text, '/32', '')
    ELSE replace(host_id::text, '/128', '') END, is_open::text,
    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text, s.text, s.text || E'\non ' || h.text,
    '{{}}', '{{}}', NULL, false FROM press_slot s JOIN press_host h ON h.key = s.host_id
"""
ACTUAL = """
SELECT t.model, e.object_key, d.title, d.content, e.metadata::text, e.tags, e.owner_id, e.is_public
FROM pgknowbase_externaldata e JOIN django_content_type t ON t.id = e.content_type_id
LEFT JOIN pgknowbase_document d ON d.source = e.content_type_id AND d.id = e.object_key
"""
CHUNKS = """
SELECT t.model, c.id, c.chunk_seq, c.chunk FROM pgknowbase_chunk c LEFT JOIN django_content_type t ON t.id = c.source
ORDER BY c.source, c.id, c.chunk_seq
"""
CHUNK_SIZE = 700


def rows(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def committed():
    """The objects that must be in the index."""
    return {row[:2]: (*row[2:5], sorted(set(row[5])), *row[6:]) for row in rows(EXPECTED)}


def difference():
    """Lines that say how index and rows differ; none if they do not."""
    wanted, found = committed(), {}
    for row in rows(ACTUAL):
        found[row[:2]] = (*row[2:5], sorted(row[5]), *row[6:])
    lines = [f"missing {key}: {wanted[key]}" for key in sorted(wanted.keys() - found.keys())]
    lines += [f"orphaned {key}: {found[key]}" for key in sorted(found.keys() - wanted.keys())]
    for key in sorted(wanted.keys() & found.keys()):
        if wanted[key] != found[key]:
            lines.append(f"stale {key}: {found[key]}, should be {wanted[key]}")
    lines += _documents(wanted)
    return lines + _chunks(wanted)


def _documents(wanted):
    known = "SELECT t.model, d.id FROM pgknowbase_document d LEFT JOIN django_content_type t ON t.id = d.source"
    return [f"document without an object {key}" for key in sorted(set(rows(known)) - wanted.keys())]


def _chunks(wanted):
    stored = {}
    for model, key, place, text in rows(CHUNKS):
        stored.setdefault((model, key), []).append((place, text))
    lines = [f"chunks without an object {key}" for key in sorted(stored.keys() - wanted.keys())]
    for key, (title, content, *_) in wanted.items():
        chunks = stored.get(key, [])
        if len(content) < CHUNK_SIZE:
            right = chunks == [(0, f"{title}\n{content.strip()}")]
        else:
            parts = [text.removeprefix(f"{title}\n") for _, text in chunks]
            right = (
                [place for place, _ in chunks] == list(range(len(chunks)))
                and len(chunks) > 1
                and all(text.startswith(f"{title}\n") for _, text in chunks)
                and all(part in content for part in parts)
                and set(content.split()) <= set(" ".join(parts).split())
            )
        if not right:
            lines.append(f"chunks of {key} are {chunks}, for {title!r}, {content!r}")
    return lines


def fingerprint():
    """A digest of everything that the index holds, for comparing runs."""
    held = [sorted(map(repr, rows(sql))) for sql in (ACTUAL, CHUNKS)]
    return hashlib.sha256(repr(held).encode()).hexdigest()
