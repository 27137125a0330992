INSERT INTO pgknowbase_reaction_event (reaction, object_keys, op, chain)
    VALUES ({reaction}, ARRAY[{new_key}], 'U', coalesce(current_setting('pgknowbase.reaction', true), ''));
