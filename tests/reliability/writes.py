"""Every way of writing to the press. Add one by decorating a function that takes a ``Press``.

Each operation draws only from the generator that it is given, so any part of a run can be played again.
"""

import random
import uuid
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import connection, transaction

from tests.projects.press.models import RELATIONS, Article, Author, Category, Cell, Comment, Page, Slip, Tag

WORDS = [
    "press",
    "ink",
    "paper",
    "zebra",
    "déjà",
    "naïve",
    "東京",
    "журнал",
    "العربية",
    "🦊",
    "don't",
    '"quoted"',
    "50%",
    "a_b",
    "back\\slash",
    "semi;",
    "{brace}",
    "$1",
]


@dataclass
class Press:
    """What an operation is given: its random numbers, and help to choose."""

    random: random.Random
    done: list[str] = field(default_factory=list)

    def text(self, least=1):
        long = self.random.random() < 0.06
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, 9) + 150 * long))

    def word(self):
        return f"{self.random.choice(WORDS)}{self.random.randint(0, 12)}"

    def some(self, model, most=3):
        """Up to ``most`` rows, by place and not by key, so that a replay chooses alike."""
        count = model._base_manager.count()
        if not count:
            return []
        places = {self.random.randrange(count) for _ in range(self.random.randint(1, most))}
        rows = model._base_manager.order_by("pk")
        if model is User:
            rows = rows.only("pk")  # psycopg cannot read the dates of every session
        return [row for place in sorted(places) for row in rows[place : place + 1]]

    def one(self, model):
        found = self.some(model, most=1)
        return found[0] if found else None

    def keys(self, model, most=3):
        return [row.pk for row in self.some(model, most)]

    def article(self):
        return Article(
            title=self.text(),
            body=self.text(),
            hidden=self.random.random() < 0.15,
            author=self.one(Author),
            category=self.one(Category),
            owner=self.one(User),
        )


OPERATIONS = []


def operation(weight=1, *, related=False, alone=False):
    """Register an operation.

    Args:
        related: it changes rows that only paths across relations watch.
        alone: it makes transactions of its own, so no other may be in one with it.
    """

    def register(function):
        function.is_alone = alone
        if RELATIONS or not related:
            OPERATIONS.append((function, weight))
        return function

    return register


def execute(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


# Rows one by one


@operation(4)
def create(press):
    press.article().save()


@operation(3)
def save(press):
    for article in press.some(Article):
        article.title, article.author, article.owner = press.text(), press.one(Author), press.one(User)
        article.save()


@operation(2)
def save_some_fields(press):
    for article in press.some(Article):
        article.body = press.text()
        article.save(update_fields=["body"])


@operation()
def delete(press):
    for article in press.some(Article, most=2):
        article.delete()


@operation()
def get_or_create(press):
    Slip.objects.get_or_create(key=press.word(), defaults={"text": press.text()})


@operation()
def update_or_create(press):
    Slip.objects.update_or_create(key=press.word(), defaults={"text": press.text()})


@operation()
def page(press):
    key = uuid.UUID(int=press.random.getrandbits(128), version=4)
    Page.objects.create(id=key, text=press.text(), article=press.one(Article))


@operation()
def people(press):
    Author.objects.create(name=press.word())
    User.objects.create(username=f"u{press.random.getrandbits(60)}")


# Many at once


@operation(2)
def bulk_create(press):
    Article.objects.bulk_create([press.article() for _ in range(press.random.randint(1, 6))])


@operation()
def bulk_update(press):
    chosen = press.some(Article)
    for article in chosen:
        article.title, article.hidden = press.text(), press.random.random() < 0.3
    Article.objects.bulk_update(chosen, ["title", "hidden"])


@operation()
def bulk_upsert(press):
    slips = {press.word(): press.text() for _ in range(4)}
    Slip.objects.bulk_create(
        [Slip(key=key, text=text) for key, text in slips.items()],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["text"],
    )


@operation()
def bulk_ignore(press):
    Cell.objects.bulk_create(
        [Cell(row=press.random.randint(-2, 5), column=press.word(), text=press.text()) for _ in range(3)],
        ignore_conflicts=True,
    )


@operation(2)
def queryset_update(press):
    Article.objects.filter(pk__in=press.keys(Article)).update(body=press.text(), category=press.one(Category))


@operation()
def queryset_update_unwatched(press):
    Article.objects.filter(pk__in=press.keys(Article)).update(views=press.random.randint(0, 99))


@operation()
def metadata_alone(press):
    Article.objects.filter(pk__in=press.keys(Article)).update(rating=press.random.randint(0, 9))


@operation()
def owner_alone(press):
    Article.objects.filter(pk__in=press.keys(Article)).update(owner=press.one(User))


@operation()
def hide_and_show(press):
    Article.objects.filter(pk__in=press.keys(Article)).update(hidden=press.random.random() < 0.5)


@operation()
def queryset_delete(press):
    Page.objects.filter(pk__in=press.keys(Page)).delete()
    Cell.objects.filter(pk__in=press.keys(Cell)).delete()


@operation()
def empty_text(press):
    Page.objects.filter(pk__in=press.keys(Page)).update(text="")
    Slip.objects.filter(pk__in=press.keys(Slip, most=1)).update(text="")


# Cascades


@operation(0.3)
def cascade_in_python(press):
    for category in press.some(Category, most=1):
        category.delete()


@operation(0.5)
def set_null_in_python(press):
    for row in [press.one(Author), press.one(User)]:
        if row is not None:
            row.delete()


@operation(0.5)
def cascade_in_database(press):
    for key in press.keys(Article, most=1):
        execute("DELETE FROM press_article_tags WHERE article_id = %s", key)
        execute("DELETE FROM press_comment WHERE article_id = %s", key)
        execute("DELETE FROM press_article WHERE id = %s", key)


# Without the ORM


@operation()
def raw_insert(press):
    execute(
        "INSERT INTO press_slip (key, text) SELECT 'raw ' || n, %s || n FROM generate_series(%s, %s) n"
        " ON CONFLICT (key) DO UPDATE SET text = excluded.text",
        press.text(),
        *sorted(press.random.randint(0, 9) for _ in range(2)),
    )


@operation()
def raw_update(press):
    execute("UPDATE press_article SET body = body || %s WHERE id %% 7 = %s", press.word(), press.random.randint(0, 6))


@operation(0.6)
def raw_delete(press):
    execute("DELETE FROM press_cell WHERE text > %s", press.random.choice("pqrsuz"))


@operation()
def raw_cte(press):
    execute(
        "WITH gone AS (DELETE FROM press_slip WHERE key = ANY (%s) RETURNING key, text)"
        " INSERT INTO press_slip SELECT key || %s, text FROM gone ON CONFLICT DO NOTHING",
        press.keys(Slip),
        press.random.choice("abc"),
    )


@operation()
def copy(press):
    lines = [(f"copy {press.random.getrandbits(32)}", press.text()) for _ in range(3)]
    with connection.cursor() as cursor, cursor.copy("COPY press_slip (key, text) FROM STDIN") as copying:
        for line in lines:
            copying.write_row(line)


@operation()
def merge(press):
    execute(
        "MERGE INTO press_cell c USING (VALUES (%s::int, %s, %s), (%s::int, %s, %s)) AS v (r, k, t)"
        ' ON c."row" = v.r AND c."column" = v.k WHEN MATCHED AND v.r > 4 THEN DELETE'
        " WHEN MATCHED THEN UPDATE SET text = v.t WHEN NOT MATCHED THEN INSERT VALUES (v.r, v.k, v.t)",
        *(1, "k", press.text(), press.random.randint(2, 9), press.word(), press.text()),
    )


@operation(0.15)
def truncate(press):
    execute(f"TRUNCATE {press.random.choice(['press_slip', 'press_cell', 'press_page'])}")


@operation(0.04)
def truncate_cascade(press):
    execute("TRUNCATE press_article CASCADE")


# Keys


@operation()
def change_key(press):
    for key in press.keys(Slip, most=1):
        Slip.objects.filter(key=key).exclude(key__endswith="~~").update(key=f"{key}~{press.random.randint(0, 3)}")


@operation(0.6)
def swap_keys(press):
    keys = press.keys(Slip)
    if len(keys) > 1:
        first, second = keys[:2]
        with transaction.atomic():
            execute("UPDATE press_slip SET key = 'between' WHERE key = %s", first)
            execute("UPDATE press_slip SET key = %s WHERE key = %s", first, second)
            execute("UPDATE press_slip SET key = %s WHERE key = 'between'", second)


@operation(0.6)
def shift_composite_keys(press):
    execute('UPDATE press_cell SET "row" = "row" + 100 WHERE "row" = %s', press.random.randint(-2, 5))


@operation(0.4)
def change_uuid(press):
    for key in press.keys(Page, most=1):
        new = uuid.UUID(int=press.random.getrandbits(128), version=4)
        execute("UPDATE press_page SET id = %s WHERE id = %s", new, key)


# Related rows. They are written either way, as nothing that watches them may stumble over what does not.


@operation()
def categories(press):
    category = Category.objects.create(name=press.word(), parent=press.one(Category))
    Article.objects.filter(pk__in=press.keys(Article)).update(category=category)


@operation(2)
def tags(press):
    tag = Tag.objects.create(name=press.word())
    for article in press.some(Article):
        article.tags.add(tag, *press.some(Tag))
        if press.random.random() < 0.4:
            article.tags.remove(*press.some(Tag))


@operation(related=True)
def tags_set_and_clear(press):
    for article in press.some(Article):
        if press.random.random() < 0.3:
            article.tags.clear()
        else:
            article.tags.set(press.some(Tag))


@operation(related=True)
def tags_from_the_other_side(press):
    for tag in press.some(Tag):
        tag.article_set.set(press.some(Article))


@operation(related=True)
def rename_related(press):
    Author.objects.filter(pk__in=press.keys(Author)).update(name=press.word())
    Tag.objects.filter(pk__in=press.keys(Tag)).update(name=press.word())
    Category.objects.filter(pk__in=press.keys(Category)).update(name=press.word())


@operation(related=True)
def move_category(press):
    child, parent = press.one(Category), press.one(Category)
    if child is not None and parent is not None and parent.pk < child.pk:  # no circles
        Category.objects.filter(pk=child.pk).update(parent=parent)


@operation(related=True)
def replace_under_deferred_keys(press):
    """As reference tables are refreshed: the row goes, and one with the same key comes before the check is due."""
    for model in (Author, Tag):
        key = press.one(model)
        if key is not None:
            with transaction.atomic():
                execute(f"DELETE FROM {model._meta.db_table} WHERE id = %s", key.pk)
                execute(f"INSERT INTO {model._meta.db_table} (id, name) VALUES (%s, %s)", key.pk, press.word())


@operation(0.4, related=True)
def delete_tags(press):
    for tag in press.some(Tag, most=1):
        tag.delete()


@operation(2)
def comment(press):
    for article in press.some(Article):
        Comment.objects.create(article=article, body=press.text())


@operation(related=True)
def comments_move_and_change(press):
    article = press.one(Article)
    if article is not None:
        Comment.objects.filter(pk__in=press.keys(Comment)).update(article=article)
        Comment.objects.filter(pk__in=press.keys(Comment)).update(body=press.text())
        Comment.objects.filter(pk__in=press.keys(Comment, most=1)).delete()


@operation(0.1, related=True)
def truncate_related(press):
    execute(f"TRUNCATE {press.random.choice(['press_comment', 'press_article_tags'])}")
