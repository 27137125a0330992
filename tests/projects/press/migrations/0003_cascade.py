from django.db import migrations

CASCADE = """
DO $$
DECLARE
    _name name;
BEGIN
    SELECT conname INTO STRICT _name FROM pg_constraint WHERE conrelid = 'press_page'::regclass AND contype = 'f';
    EXECUTE format('ALTER TABLE press_page DROP CONSTRAINT %I', _name);
    EXECUTE format(
        'ALTER TABLE press_page ADD CONSTRAINT %I FOREIGN KEY (article_id) REFERENCES press_article ON DELETE CASCADE',
        _name);
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("press", "0002_triggers")]
    operations = [migrations.RunSQL(CASCADE, migrations.RunSQL.noop)]
