"""The triggers of these models as the code of today makes them: their SQL depends on the types that the server has."""

import pgtrigger
from django.db import migrations

import pgknowbase.capture.compiler
import pgknowbase.capture.operations
from pgknowbase.capture.triggers import CaptureTrigger

MODELS = {"Record", "Host", "Route", "Label", "Mark", "Shift", "Slot", "Hall"}


def made_today():
    for model, trigger in pgtrigger.registered():
        if (
            isinstance(trigger, CaptureTrigger)
            and model._meta.app_label == "press"
            and model._meta.object_name in MODELS
        ):
            yield pgknowbase.capture.operations.AddCaptureTrigger(
                model_name=model._meta.model_name, trigger=trigger.compile(model)
            )


class Migration(migrations.Migration):
    dependencies = [("pgknowbase", "0003_functions"), ("press", "0004_types")]

    operations = [
        *made_today(),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="leaf",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_update",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    condition='WHEN (OLD."id" IS DISTINCT FROM NEW."id" OR OLD."text" COLLATE "C" IS DISTINCT FROM NEW."text" COLLATE "C")',
                    func="IF OLD.\"id\" IS DISTINCT FROM NEW.\"id\" THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Leaf', '', ARRAY[NEW.\"id\"::text, OLD.\"id\"::text], 'U');\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Leaf', '', ARRAY[NEW.\"id\"::text], 'U');\n    END IF;",
                    hash="fce7c99fafce0827a20f7b936a7dca43e97718d7",
                    operation="UPDATE",
                    pgid="pgtrigger_pgknowbase_update_0bbba9c5f3",
                    table="press_leaf",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="leaf",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_delete",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="IF TG_LEVEL = 'ROW' THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT 'press.Leaf', '', ARRAY[OLD.\"id\"::text], 'D' WHERE OLD.\"id\"::text IS NOT NULL;\n    ELSIF EXISTS (SELECT FROM old_rows OFFSET 1) THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Leaf', '', array_agg(paged.key), 'D'\n        FROM (\n            SELECT changed.key, row_number() OVER () / 100 AS page\n            FROM (SELECT  old_rows.\"id\"::text AS key FROM old_rows) AS changed WHERE changed.key IS NOT NULL\n        ) AS paged\n        GROUP BY paged.page ORDER BY paged.page;\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Leaf', '', ARRAY[old_rows.\"id\"::text], 'D' FROM old_rows WHERE old_rows.\"id\"::text IS NOT NULL;\n    END IF;",
                    hash="9e87c3bc16b6b0c76cdf835313302ec04f099482",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_pgknowbase_delete_1efabdc6af",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="press_leaf",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="leaf",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_insert",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="IF TG_LEVEL = 'ROW' THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT 'press.Leaf', '', ARRAY[NEW.\"id\"::text], 'I' WHERE NEW.\"id\"::text IS NOT NULL;\n    ELSIF EXISTS (SELECT FROM new_rows OFFSET 1) THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Leaf', '', array_agg(paged.key), 'I'\n        FROM (\n            SELECT changed.key, row_number() OVER () / 100 AS page\n            FROM (SELECT  new_rows.\"id\"::text AS key FROM new_rows) AS changed WHERE changed.key IS NOT NULL\n        ) AS paged\n        GROUP BY paged.page ORDER BY paged.page;\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Leaf', '', ARRAY[new_rows.\"id\"::text], 'I' FROM new_rows WHERE new_rows.\"id\"::text IS NOT NULL;\n    END IF;",
                    hash="d6310f8ac1fcaaee7a639f4a56cec7137e2b9fff",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_pgknowbase_insert_67decfea88",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="press_leaf",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="leaf",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_truncate",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Leaf', '', NULL, 'T');",
                    hash="84e739be2eab6b166fc4fb24c0c6bca24c0c5798",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_pgknowbase_truncate_0fc421053b",
                    table="press_leaf",
                    when="AFTER",
                ),
            ),
        ),
    ]
