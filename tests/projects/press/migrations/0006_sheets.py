from django.db import migrations

import pgknowbase.capture.compiler
import pgknowbase.capture.operations


class Migration(migrations.Migration):
    dependencies = [
        ("pgknowbase", "0003_functions"),
        ("press", "0005_types"),
    ]

    operations = [
        pgknowbase.capture.operations.RemoveCaptureTrigger(
            model_name="leaf",
            name="pgknowbase_truncate",
        ),
        pgknowbase.capture.operations.RemoveCaptureTrigger(
            model_name="leaf",
            name="pgknowbase_insert",
        ),
        pgknowbase.capture.operations.RemoveCaptureTrigger(
            model_name="leaf",
            name="pgknowbase_delete",
        ),
        pgknowbase.capture.operations.RemoveCaptureTrigger(
            model_name="leaf",
            name="pgknowbase_update",
        ),
        migrations.RenameModel(
            old_name="Leaf",
            new_name="Sheet",
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="sheet",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_update",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    condition='WHEN (OLD."id" IS DISTINCT FROM NEW."id" OR OLD."text" COLLATE "C" IS DISTINCT FROM NEW."text" COLLATE "C")',
                    func="IF OLD.\"id\" IS DISTINCT FROM NEW.\"id\" THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Sheet', '', ARRAY[NEW.\"id\"::text, OLD.\"id\"::text], 'U');\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Sheet', '', ARRAY[NEW.\"id\"::text], 'U');\n    END IF;",
                    hash="d8f3900bd4a39a7abcb075323dac9cbf5bfeab1e",
                    operation="UPDATE",
                    pgid="pgtrigger_pgknowbase_update_cf82d3e13a",
                    table="press_sheet",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="sheet",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_delete",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="IF TG_LEVEL = 'ROW' THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT 'press.Sheet', '', ARRAY[OLD.\"id\"::text], 'D' WHERE OLD.\"id\"::text IS NOT NULL;\n    ELSIF EXISTS (SELECT FROM old_rows OFFSET 1) THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Sheet', '', array_agg(paged.key), 'D'\n        FROM (\n            SELECT changed.key, row_number() OVER () / 100 AS page\n            FROM (SELECT  old_rows.\"id\"::text AS key FROM old_rows) AS changed WHERE changed.key IS NOT NULL\n        ) AS paged\n        GROUP BY paged.page ORDER BY paged.page;\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Sheet', '', ARRAY[old_rows.\"id\"::text], 'D' FROM old_rows WHERE old_rows.\"id\"::text IS NOT NULL;\n    END IF;",
                    hash="f24e2283bc65ee76a26555277d03ad6bd7f320f6",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_pgknowbase_delete_a417a8d157",
                    referencing="REFERENCING OLD TABLE AS old_rows ",
                    table="press_sheet",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="sheet",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_insert",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="IF TG_LEVEL = 'ROW' THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op) SELECT 'press.Sheet', '', ARRAY[NEW.\"id\"::text], 'I' WHERE NEW.\"id\"::text IS NOT NULL;\n    ELSIF EXISTS (SELECT FROM new_rows OFFSET 1) THEN\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Sheet', '', array_agg(paged.key), 'I'\n        FROM (\n            SELECT changed.key, row_number() OVER () / 100 AS page\n            FROM (SELECT  new_rows.\"id\"::text AS key FROM new_rows) AS changed WHERE changed.key IS NOT NULL\n        ) AS paged\n        GROUP BY paged.page ORDER BY paged.page;\n    ELSE\n        INSERT INTO pgknowbase_outbox (source, path, object_keys, op)\n        SELECT 'press.Sheet', '', ARRAY[new_rows.\"id\"::text], 'I' FROM new_rows WHERE new_rows.\"id\"::text IS NOT NULL;\n    END IF;",
                    hash="47f0c5b20179a16d85f3bdf5c224542bbda71382",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_pgknowbase_insert_15320086b7",
                    referencing="REFERENCING NEW TABLE AS new_rows ",
                    table="press_sheet",
                    when="AFTER",
                ),
            ),
        ),
        pgknowbase.capture.operations.AddCaptureTrigger(
            model_name="sheet",
            trigger=pgknowbase.capture.compiler.CaptureTriggerV1(
                name="pgknowbase_truncate",
                sql=pgknowbase.capture.compiler.CaptureSqlV1(
                    func="INSERT INTO pgknowbase_outbox (source, path, object_keys, op) VALUES ('press.Sheet', '', NULL, 'T');",
                    hash="f96ee74afefcfa77747d959a7c75fc581dc13135",
                    level="STATEMENT",
                    operation="TRUNCATE",
                    pgid="pgtrigger_pgknowbase_truncate_8643970f69",
                    table="press_sheet",
                    when="AFTER",
                ),
            ),
        ),
    ]
