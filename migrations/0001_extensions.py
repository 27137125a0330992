from django.db import migrations

from pgknowbase.core.migration_operations import CreateVectorExtension, InstallPgai


class Migration(migrations.Migration):
    # pgai installs its catalog through a connection of its own.
    atomic = False
    initial = True
    dependencies = []
    operations = [CreateVectorExtension(), InstallPgai()]
