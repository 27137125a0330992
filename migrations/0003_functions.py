from django.db import migrations

from pgknowbase.core.migration_operations import DropSpaces, ReplaceFunctions, RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("pgknowbase", "0002_models")]
    operations = [
        RunSQLFile("50_spaces/pgknowbase_space.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_keywords.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_corpus.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_word.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_postings.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_rare_postings.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_postings_block.sql", "TABLE"),
        RunSQLFile("30_keywords/pgknowbase_postings_word.sql", "TABLE"),
        RunSQLFile("40_vectorizer/vectors_v1.sql", "COLUMNS", undo="40_vectorizer/vectors_drop_v1.sql"),
        RunSQLFile("60_search/pgknowbase_filter.sql", "TYPE"),
        RunSQLFile("60_search/pgknowbase_hit.sql", "TYPE"),
        ReplaceFunctions("pgknowbase"),
        RunSQLFile("30_keywords/pgknowbase_keywords_insert.sql", "TRIGGER", on="pgknowbase_document"),
        RunSQLFile("30_keywords/pgknowbase_keywords_update.sql", "TRIGGER", on="pgknowbase_document"),
        RunSQLFile("30_keywords/pgknowbase_keywords_delete.sql", "TRIGGER", on="pgknowbase_document"),
        RunSQLFile("30_keywords/pgknowbase_keywords_truncate.sql", "TRIGGER", on="pgknowbase_document"),
        DropSpaces(),
    ]
