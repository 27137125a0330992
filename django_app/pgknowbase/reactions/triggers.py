"""The triggers of a reaction: they stand on its model's table, and go into the migrations of that model's app."""

import pgtrigger

from pgknowbase.capture.triggers import KEYS_PER_EVENT, CaptureTrigger, Changed, literal, trigger_name
from pgknowbase.core.keys import key_fields, key_sql, quote
from pgknowbase.core.sql_files import read_sql
from pgknowbase.errors import ConfigurationError
from pgknowbase.reactions.registry import Reaction
from pgknowbase.sources.paths import Watch

# As it is stored: the equality of some types has several stored values for one, and json has none.
WHOLE_ROW = "pg_catalog.record_image_ne(OLD, NEW)"


def reaction_triggers(reaction: Reaction) -> list[CaptureTrigger]:
    """One trigger for each of ``reaction.on``.

    Raises:
        ConfigurationError: a field is wrong.
    """
    watch = Watch(reaction.model, "", "", "", key_fields(reaction.model), lifecycle=True)
    made = {"insert": _rows_trigger, "update": _update_trigger, "delete": _rows_trigger}
    return [made[op](op, reaction, watch) for op in reaction.on]


def _update_trigger(op: str, reaction: Reaction, watch: Watch) -> CaptureTrigger:
    template = read_sql("70_reactions/reaction_update_v1.sql")
    return CaptureTrigger(
        watch,
        name=trigger_name("pgknowbase_on", op, reaction.name),
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        level=pgtrigger.Row,
        condition=pgtrigger.Condition(WHOLE_ROW) if reaction.fields is None else Changed(reaction.watched),
        func=template.format(reaction=literal(reaction.name), new_key=key_sql(watch.keys, "NEW")).strip(),
    )


def _rows_trigger(op: str, reaction: Reaction, watch: Watch) -> CaptureTrigger:
    inserted = op == "insert"
    row, rows = ("NEW", "new_rows") if inserted else ("OLD", "old_rows")
    template = read_sql("70_reactions/reaction_rows_v1.sql")
    return CaptureTrigger(
        watch,
        name=trigger_name("pgknowbase_on", op, reaction.name),
        when=pgtrigger.After,
        operation=pgtrigger.Insert if inserted else pgtrigger.Delete,
        level=pgtrigger.Statement,
        referencing=pgtrigger.Referencing(**{row.lower(): rows}),  # type: ignore[no-untyped-call]
        func=template.format(
            reaction=literal(reaction.name),
            op=op[0].upper(),
            row_key=key_sql(watch.keys, row),
            rows_key=key_sql(watch.keys, rows),
            rows=quote(rows),
            page_size=KEYS_PER_EVENT,
        ).strip(),
    )


def register_triggers(reaction: Reaction) -> None:
    """Put the triggers into pgtrigger's registry; of a wrong declaration, which the system checks report, none."""
    try:
        triggers = reaction_triggers(reaction)
    except ConfigurationError:
        return
    try:
        pgtrigger.register(*triggers)(reaction.model)
    except KeyError:  # a second reaction of the same name
        return
