import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AgentDefinition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("content", "Content"),
                            ("data", "Data"),
                            ("business", "Business"),
                            ("custom", "Custom"),
                        ],
                        default="custom",
                        max_length=10,
                    ),
                ),
                ("description", models.TextField(blank=True)),
                ("instructions", models.TextField()),
                (
                    "model",
                    models.CharField(blank=True, help_text="Empty for the model of the settings.", max_length=200),
                ),
                ("toolsets", models.JSONField(blank=True, default=list, help_text='Such as ["knowledge", "orm"].')),
                (
                    "permissions",
                    models.JSONField(blank=True, default=dict, help_text='By tool: "allow", "deny" or "ask".'),
                ),
                ("timeout", models.FloatField(blank=True, help_text="Seconds.", null=True)),
                ("max_retries", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("is_active", models.BooleanField(default=True)),
                ("is_public", models.BooleanField(default=False, help_text="Every signed-in user may use it.")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("groups", models.ManyToManyField(blank=True, related_name="+", to="auth.group")),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("users", models.ManyToManyField(blank=True, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "db_table": "pgknowbase_agent_definition",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AgentExecution",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("agent_name", models.CharField(max_length=200)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("RUNNING", "Running"),
                            ("COMPLETED", "Completed"),
                            ("FAILED", "Failed"),
                            ("CANCELLED", "Cancelled"),
                        ],
                        default="PENDING",
                        max_length=10,
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=200)),
                ("input_prompt", models.TextField()),
                ("output_data", models.JSONField(blank=True, null=True)),
                ("messages", models.JSONField(blank=True, default=list, help_text="In the format of pydantic-ai.")),
                ("error", models.TextField(blank=True)),
                ("execution_time", models.FloatField(blank=True, help_text="Seconds at work.", null=True)),
                ("requests", models.PositiveIntegerField(default=0, help_text="Number of answers of the model.")),
                ("input_tokens", models.PositiveIntegerField(default=0)),
                ("output_tokens", models.PositiveIntegerField(default=0)),
                ("tokens_used", models.PositiveIntegerField(default=0)),
                (
                    "cost",
                    models.DecimalField(
                        blank=True,
                        decimal_places=8,
                        help_text="US dollars; null where no price is known.",
                        max_digits=14,
                        null=True,
                    ),
                ),
                (
                    "order",
                    models.PositiveIntegerField(
                        blank=True, help_text="Position among the steps of the workflow.", null=True
                    ),
                ),
                ("step", models.CharField(blank=True, help_text="Path of the step in the workflow.", max_length=200)),
                ("background", models.BooleanField(default=False)),
                (
                    "session_data",
                    models.JSONField(
                        blank=True, default=dict, help_text="Session data of the deps, for a run in the background."
                    ),
                ),
                (
                    "task_id",
                    models.CharField(blank=True, help_text="Id of its task in the queue.", max_length=100),
                ),
                (
                    "idempotency_key",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Key of the request or the change for which it runs.",
                        max_length=200,
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("cancel_requested", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "pgknowbase_agent_execution",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="ToolExecution",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tool_name", models.CharField(max_length=200)),
                ("tool_call_id", models.CharField(max_length=200)),
                ("arguments", models.JSONField(blank=True, null=True)),
                ("result", models.JSONField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("RUNNING", "Running"),
                            ("COMPLETED", "Completed"),
                            ("FAILED", "Failed"),
                            ("REFUSED", "Refused"),
                            ("WAITING", "Waiting for approval"),
                        ],
                        default="RUNNING",
                        max_length=10,
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("started_at", models.DateTimeField()),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("execution_time", models.FloatField(blank=True, help_text="Seconds.", null=True)),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tools",
                        to="pgknowbase_agents.agentexecution",
                    ),
                ),
            ],
            options={
                "db_table": "pgknowbase_tool_execution",
                "ordering": ["pk"],
            },
        ),
        migrations.CreateModel(
            name="WorkflowExecution",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("workflow_name", models.CharField(max_length=200)),
                ("pattern", models.CharField(max_length=20)),
                ("agents", models.JSONField(default=list, help_text="Names of the agents, in order.")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("PENDING", "Pending"),
                            ("RUNNING", "Running"),
                            ("COMPLETED", "Completed"),
                            ("FAILED", "Failed"),
                            ("CANCELLED", "Cancelled"),
                        ],
                        default="PENDING",
                        max_length=10,
                    ),
                ),
                ("initial_prompt", models.TextField()),
                ("final_output", models.JSONField(blank=True, null=True)),
                (
                    "state",
                    models.JSONField(blank=True, default=dict, help_text="Outputs of finished steps by their path."),
                ),
                ("config", models.JSONField(blank=True, default=dict)),
                ("error", models.TextField(blank=True)),
                (
                    "progress",
                    models.PositiveSmallIntegerField(default=0, help_text="Percent of the known steps."),
                ),
                ("completed_steps", models.PositiveIntegerField(default=0)),
                ("total_steps", models.PositiveIntegerField(default=0)),
                ("total_tokens", models.PositiveIntegerField(default=0)),
                ("total_cost", models.DecimalField(blank=True, decimal_places=8, max_digits=14, null=True)),
                ("execution_time", models.FloatField(blank=True, help_text="Seconds.", null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("completed_at", models.DateTimeField(blank=True, null=True)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                ("background", models.BooleanField(default=False)),
                (
                    "task_id",
                    models.CharField(blank=True, help_text="Id of its task in the queue.", max_length=100),
                ),
                (
                    "attempts",
                    models.PositiveIntegerField(default=0, help_text="Attempts since a person last retried it."),
                ),
                (
                    "idempotency_key",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Key of the request that started it; at most one workflow has it.",
                        max_length=200,
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="children",
                        to="pgknowbase_agents.workflowexecution",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "pgknowbase_workflow_execution",
                "ordering": ["-created_at"],
            },
        ),
        migrations.AddField(
            model_name="agentexecution",
            name="workflow",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="executions",
                to="pgknowbase_agents.workflowexecution",
            ),
        ),
        migrations.CreateModel(
            name="AgentBudget",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("agent_name", models.CharField(blank=True, max_length=200)),
                ("runs", models.PositiveIntegerField(blank=True, null=True)),
                ("tokens", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "cost",
                    models.DecimalField(
                        blank=True, decimal_places=8, help_text="US dollars.", max_digits=14, null=True
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "pgknowbase_agent_budget",
                "constraints": [
                    models.UniqueConstraint(fields=("user", "agent_name"), name="pgknowbase_agent_budget_user"),
                    models.UniqueConstraint(
                        condition=models.Q(("user", None)),
                        fields=("agent_name",),
                        name="pgknowbase_agent_budget_everyone",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("user__isnull", False), models.Q(("agent_name", ""), _negated=True), _connector="OR"
                        ),
                        name="pgknowbase_agent_budget_named",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApprovalRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("tool_name", models.CharField(max_length=200)),
                ("tool_call_id", models.CharField(max_length=200)),
                ("arguments", models.JSONField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("PENDING", "Pending"), ("APPROVED", "Approved"), ("DENIED", "Denied")],
                        default="PENDING",
                        max_length=10,
                    ),
                ),
                (
                    "reason",
                    models.TextField(blank=True, help_text="Reason of a refusal; the model gets it."),
                ),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="approvals",
                        to="pgknowbase_agents.agentexecution",
                    ),
                ),
            ],
            options={
                "db_table": "pgknowbase_approval_request",
                "ordering": ["-requested_at"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "PENDING")),
                        fields=["requested_at"],
                        name="pgknowbase_approval_open",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("execution", "tool_call_id"), name="pgknowbase_approval_call")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(fields=["user", "-created_at"], name="pgknowbase_wf_user"),
        ),
        migrations.AddIndex(
            model_name="workflowexecution",
            index=models.Index(
                condition=models.Q(("status", "RUNNING")), fields=["heartbeat_at"], name="pgknowbase_wf_running"
            ),
        ),
        migrations.AddIndex(
            model_name="agentexecution",
            index=models.Index(fields=["agent_name", "-created_at"], name="pgknowbase_exec_agent"),
        ),
        migrations.AddIndex(
            model_name="agentexecution",
            index=models.Index(fields=["user", "-created_at"], name="pgknowbase_exec_user"),
        ),
        migrations.AddIndex(
            model_name="agentexecution",
            index=models.Index(fields=["-created_at"], name="pgknowbase_exec_created"),
        ),
        migrations.AddIndex(
            model_name="agentexecution",
            index=models.Index(fields=["started_at"], name="pgknowbase_exec_started"),
        ),
        migrations.AddIndex(
            model_name="agentexecution",
            index=models.Index(
                condition=models.Q(("status__in", ["PENDING", "RUNNING"])),
                fields=["heartbeat_at"],
                name="pgknowbase_exec_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="agentexecution",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ["PENDING", "RUNNING", "COMPLETED"]),
                    models.Q(("idempotency_key", ""), _negated=True),
                ),
                fields=("agent_name", "idempotency_key"),
                name="pgknowbase_exec_once",
                violation_error_message="A run of this agent with that key is under way, or has completed.",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowexecution",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key", ""), _negated=True),
                fields=("idempotency_key",),
                name="pgknowbase_wf_once",
            ),
        ),
    ]
