-- What the words of a language depend on, as a digest: the version of the server, whose stemmers change, the locale of the
-- database, the text search configuration with its dictionaries, and the revision of these functions. NULL for a language
-- that the database does not know. A dictionary whose files have changed is another one after ALTER TEXT SEARCH DICTIONARY,
-- with which sessions read them anew.
CREATE OR REPLACE FUNCTION pgknowbase_word_maker(language text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    -- Raise it with any change of what a document's words are.
    _revision CONSTANT integer := 2;
    _configuration CONSTANT oid := (
        SELECT c.oid FROM pg_ts_config AS c WHERE c.cfgname = language AND pg_ts_config_is_visible(c.oid) LIMIT 1);
BEGIN
    RETURN (
        SELECT left(md5(concat_ws('|', _revision, current_setting('server_version_num')::integer / 10000,
            d.datlocprovider, d.datctype, to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale',
            pg_database_collation_actual_version(d.oid), c.cfgparser, (
                SELECT string_agg(concat_ws(':', m.maptokentype, m.mapseqno, t.dictname, t.dicttemplate,
                    t.dictinitoption, t.xmin), ',' ORDER BY m.maptokentype, m.mapseqno)
                FROM pg_ts_config_map AS m JOIN pg_ts_dict AS t ON t.oid = m.mapdict
                WHERE m.mapcfg = c.oid))), 12)
        FROM pg_database AS d, pg_ts_config AS c
        WHERE d.datname = current_database() AND c.oid = _configuration);
END
$pgknowbase$;
