-- Takes what one batch may send to a model of a provider from the buckets that all workers share: requests, texts and
-- tokens, in this order in each array. A bucket fills with the minute, holds six seconds of it at most, and at least one.
-- wanted: what the batch could use. limits: of a minute, by the settings; null: as the provider's headers said last.
-- background: leave a quarter of each bucket to fresh writes.
-- granted: at most what is wanted; null, and nothing is taken, where too little is left for a quarter of a second's work,
-- or for calls of the size by which both limits are used up together.
-- seconds: after which so much will be there again; 0 where all that was wanted is granted.
-- per_minute: the limits that hold; null where nothing limits.
-- The row is locked for this one statement, so a worker waits for another no longer than for a look-up.
-- Example: SELECT * FROM pgknowbase_rate_take_v1('api.openai.com', 'm', '{2,300,9000}', '{3000,NULL,1000000}', false);
CREATE OR REPLACE FUNCTION pgknowbase_rate_take_v1(
    provider_name text, model_name text, wanted float8[], limits float8[], background boolean)
RETURNS TABLE (granted float8[], seconds float8, per_minute float8[])
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY INVOKER SET search_path FROM CURRENT
AS $pgknowbase$
DECLARE
    -- Below the limit, because clocks and counts of tokens differ by a little; a 429 costs more than this.
    _share CONSTANT float8 := 0.98;
    _burst CONSTANT float8 := 6;
    _portion CONSTANT float8 := 0.25;
    _rounding CONSTANT float8 := 1e-6;
    _row pgknowbase_provider_rate;
    _left float8[];
    _free float8[] := ARRAY[0, 0, 0];
    _needed float8[] := ARRAY[0, 0, 0];
    _rate float8;
    _most float8;
    _elapsed float8;
BEGIN
    SELECT r.* INTO _row FROM pgknowbase_provider_rate AS r
    WHERE r.provider = provider_name AND r.model = model_name FOR UPDATE;
    IF NOT FOUND THEN
        IF limits = array_fill(NULL::float8, ARRAY[3]) THEN
            RETURN QUERY SELECT wanted, 0::float8, limits;
            RETURN;
        END IF;
        INSERT INTO pgknowbase_provider_rate AS r (provider, model) VALUES (provider_name, model_name)
        ON CONFLICT (provider, model) DO UPDATE SET provider = excluded.provider RETURNING r.* INTO _row;
    END IF;
    -- After the lock, or a worker that waited for it would count time twice.
    _elapsed := greatest(extract(epoch FROM clock_timestamp() - _row.filled_at), 0);
    _left := ARRAY[_row.requests, _row.texts, _row.tokens];
    per_minute := ARRAY[coalesce(limits[1], _row.requests_per_minute), limits[2],
        coalesce(limits[3], _row.tokens_per_minute)];
    granted := wanted;
    seconds := 0;
    FOR i IN 1..3 LOOP
        CONTINUE WHEN per_minute[i] IS NULL;
        _rate := per_minute[i] * _share / 60;
        _most := greatest(_rate * _burst, 1);
        -- A bucket that nobody has used before holds a second's worth: the provider may have seen others.
        _left[i] := least(_most, coalesce(_left[i], greatest(_rate, 1)) + _elapsed * _rate);
        _free[i] := _left[i] - CASE WHEN background THEN least(_most / 4, _most - 1) ELSE 0 END;
        _needed[i] := least(wanted[i], greatest(
            1, least(_most * 0.75, greatest(_rate * _portion, per_minute[i] / per_minute[1]))));
        seconds := greatest(seconds, (_needed[i] - _free[i]) / _rate);
        granted[i] := least(wanted[i], CASE WHEN i = 1 THEN floor(_free[i] + _rounding) ELSE _free[i] END);
    END LOOP;
    IF seconds > _rounding THEN
        granted := NULL;
        RETURN NEXT;
        RETURN;
    END IF;
    UPDATE pgknowbase_provider_rate AS r SET filled_at = clock_timestamp(),
        requests = CASE WHEN per_minute[1] IS NOT NULL THEN _left[1] - granted[1] END,
        texts = CASE WHEN per_minute[2] IS NOT NULL THEN _left[2] - granted[2] END,
        tokens = CASE WHEN per_minute[3] IS NOT NULL THEN _left[3] - granted[3] END
    WHERE r.id = _row.id;
    FOR i IN 1..3 LOOP
        CONTINUE WHEN per_minute[i] IS NULL OR granted[i] >= wanted[i];
        seconds := greatest(seconds, (_needed[i] - (_free[i] - granted[i])) / (per_minute[i] * _share / 60));
    END LOOP;
    RETURN NEXT;
END
$pgknowbase$;
