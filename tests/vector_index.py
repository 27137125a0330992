"""The vector index of the active space, which a worker would build where the store is large."""

from django.db import connection

from pgknowbase.core import gateway
from pgknowbase.models import EmbeddingSpace
from pgknowbase.spaces.indexes import IndexSpec, has_index


def make_vector_index():
    """Make it in this transaction, unless it is there; returns its name."""
    space = EmbeddingSpace.objects.get(is_active=True)
    spec = IndexSpec(space)
    if not has_index("default", space):
        with connection.cursor() as cursor:
            cursor.execute(f'DROP INDEX IF EXISTS "{spec.name}"')
        column = gateway.fetch_value("default", "index_column", index=space.index, dimensions=space.dimensions)
        gateway.create_index(
            "default", space.store_schema, space.store_table, spec.name, column,
            source=None, m=spec.m, ef_construction=spec.ef_construction, concurrently=False,
        )  # fmt: skip
    return spec.name
