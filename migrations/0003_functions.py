from django.db import migrations

from pgknowbase.migration_operations import DropSpaces, RunSQLFile


class Migration(migrations.Migration):
    dependencies = [("pgknowbase", "0002_models")]
    operations = [
        RunSQLFile("5_vectorizer/pgknowbase_space.sql", "TABLE"),
        RunSQLFile("1_trigger/pgknowbase_trigger_secure_v1.sql", "FUNCTION"),
        RunSQLFile("2_outbox/pgknowbase_outbox_claim_v1.sql", "FUNCTION"),
        RunSQLFile("2_outbox/pgknowbase_outbox_ack_v1.sql", "FUNCTION"),
        RunSQLFile("2_outbox/pgknowbase_outbox_floor_v1.sql", "FUNCTION"),
        RunSQLFile("2_outbox/pgknowbase_outbox_waiting_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_lock_objects_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_expansion_add_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_expansion_claim_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_expansion_turn_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_retry_claim_v1.sql", "FUNCTION"),
        RunSQLFile("3_relay/pgknowbase_known_keys_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_requeue_v1.sql", "FUNCTION"),
        RunSQLFile("4_document/pgknowbase_apply_v1.sql", "FUNCTION"),
        RunSQLFile("4_document/pgknowbase_remove_v1.sql", "FUNCTION"),
        RunSQLFile("4_document/pgknowbase_fail_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_space_create_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_space_activate_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_space_drop_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_queue_claim_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_queue_release_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_queue_fail_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_chunks_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_store_open_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_store_close_v1.sql", "FUNCTION"),
        RunSQLFile("5_vectorizer/pgknowbase_settle_v1.sql", "FUNCTION"),
        RunSQLFile("6_search/pgknowbase_search_exact_v1.sql", "FUNCTION"),
        RunSQLFile("6_search/pgknowbase_search_passing_v1.sql", "FUNCTION"),
        RunSQLFile("6_search/pgknowbase_search_dense_v1.sql", "FUNCTION"),
        RunSQLFile("6_search/pgknowbase_similar_v1.sql", "FUNCTION"),
        RunSQLFile("7_status/pgknowbase_status.sql", "VIEW"),
        RunSQLFile("8_drift/pgknowbase_waiting_v1.sql", "FUNCTION"),
        RunSQLFile("8_drift/pgknowbase_compare_v1.sql", "FUNCTION"),
        RunSQLFile("8_drift/pgknowbase_index_keys_v1.sql", "FUNCTION"),
        RunSQLFile("8_drift/pgknowbase_chunk_state_v1.sql", "FUNCTION"),
        RunSQLFile("8_drift/pgknowbase_distrust_v1.sql", "FUNCTION"),
        RunSQLFile("8_drift/pgknowbase_make_due_v1.sql", "FUNCTION"),
        DropSpaces(),
    ]
