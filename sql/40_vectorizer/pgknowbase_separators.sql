-- Where a space's splitter cuts, the first choice first, as regular expressions of Python: pgai's recursive splitter cuts
-- before the first of them that a text has, and what is still too long before the next. A sentence keeps its stop, which
-- ends it only where a space follows, or no space is usual: '3.14' is not cut. 'markdown' keeps sections, then code blocks and lists, together;
-- 'code' definitions at the left margin, in any common language, then those inside them.
CREATE OR REPLACE FUNCTION pgknowbase_separators(splitter text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
DECLARE
    _sentence CONSTANT text := '(?<=[.?!؟۔।])(?=\s)|(?<=[.?!؟۔।]["''”’»)\]])(?=\s)'
        '|(?<=[。？！])(?![」』”’）])|(?<=[。？！][」』”’）])';
    _prose CONSTANT text[] := ARRAY[E'\n\n', E'\n', _sentence, ' ', ''];
BEGIN
    CASE splitter
        WHEN 'recursive' THEN
            RETURN _prose;
        WHEN 'markdown' THEN
            RETURN ARRAY[
                E'\n# ', E'\n## ', E'\n### ', E'\n#### ', E'\n##### ', E'\n###### ', E'\n---\n', E'\n\\*\\*\\*\n',
                E'\n```', E'\n\n', E'\n- ', E'\n\\* ', E'\n1\\. '] || _prose[2:];
        WHEN 'code' THEN
            RETURN ARRAY[
                E'\nnamespace ', E'\nmodule ', E'\npackage ', E'\nclass ', E'\nabstract class ', E'\ninterface ',
                E'\ntrait ', E'\nstruct ', E'\nenum ', E'\nimpl ', E'\n@', E'\nasync def ', E'\ndef ',
                E'\nexport ', E'\nasync function ', E'\nfunction ', E'\nfunc ', E'\nfun ', E'\nfn ', E'\npub ',
                E'\npublic ', E'\nprotected ', E'\nprivate ', E'\nstatic ', E'\ntype ', E'\nconst ', E'\nlet ',
                E'\nvar ', E'\nCREATE ', E'\ncreate ', E'\n}', E'\n    def ', E'\n    async def ', E'\n\tdef ',
                E'\n    public ', E'\n    private ', E'\n    protected ', E'\n  def ', E'\n    fn ', E'\n    pub ',
                E'\n\n', E'\n', ' ', ''];
        ELSE
            RAISE EXCEPTION 'unknown splitter %: use recursive, markdown or code', quote_literal(splitter)
                USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END
$pgknowbase$;
