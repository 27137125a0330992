-- A text that is not ASCII as words between spaces, the same on each version of Postgres and under each locale, whose
-- parsers and normalizations part and join words otherwise. Of the words, which are letters, marks and digits (Unicode
-- 14), in lower case:
--   * Characters that nobody sees (soft hyphens, joiners, marks of direction) and the Arabic kashida are taken out.
--   * NFKC makes one of characters that look alike, but first symbols are parted from the words beside them: 'Acme™' is
--     'acme tm', '5½' is '5 1 2'. A raised character stands by itself, and with the letters before it, too: 'm²' is
--     'm 2 m2'.
--   * A final sigma is a sigma, and decimal digits of any script are those of ASCII.
--   * All else is a space, and so are some marks of rare scripts at which the parser of Postgres ends a word.
-- tests/integration/keywords/test_part_words.py compares the lists with Python's tables.
-- requires: pgknowbase_lower
CREATE OR REPLACE FUNCTION pgknowbase_part_words(content text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY INVOKER SET search_path FROM CURRENT
SET standard_conforming_strings = on -- a session may read the backslashes below in another way
AS $pgknowbase$
DECLARE
    _unseen CONSTANT text := '\u00AD\u034F\u061C\u0640\u115F-\u1160\u17B4-\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E'
        '\u2060-\u206F\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF9-\uFFFB\U0001BCA0-\U0001BCA3\U0001D173-\U0001D17A'
        '\U000E0000-\U000E0FFF';
    _raised CONSTANT text := '\u00AA\u00B2-\u00B3\u00B9-\u00BA\u02B0-\u02B8\u02E0-\u02E4\u10FC\u1D2C-\u1D2E\u1D30-\u1D3A\u1D3C-\u1D4D'
        '\u1D4F-\u1D61\u1D78\u1D9B-\u1DBF\u2070-\u2079\u207F\u2C7D\u2D6F\u3192-\u3195\uA69C-\uA69D\uA770\uA7F2-\uA7F4'
        '\uA7F8-\uA7F9\uAB5C-\uAB5F\uAB69\U00010781-\U000107BA';
    -- What NFKC makes words of, and no word goes on with.
    _symbols CONSTANT text := '\u00BC-\u00BE\u2017\u203E\u20A8\u2100-\u2101\u2103-\u2106\u2109\u2116\u2120-\u2122\u213B\u2150-\u217F\u2189'
        '\u2460-\u24EA\u2ADC\u3038-\u303A\u3196-\u319F\u3200-\u3247\u3250-\u33FF\uFDFC\uFE49-\uFE4C'
        '\U0001D15E-\U0001D164\U0001D1BB-\U0001D1C0\U0001F100-\U0001F10A\U0001F110-\U0001F251';
    _others CONSTANT text := '\u0080-\u00BF\u00D7\u00F7\u02B9-\u02C5\u02D2-\u02EB\u02ED\u02EF-\u02FF\u0375\u03F6\u0482\u055A-\u055F'
        '\u0589-\u058F\u05BE\u05C0\u05C3\u05C6\u05F3-\u060F\u061B-\u061F\u066A-\u066D\u06D4\u06DD-\u06DE\u06E9'
        '\u06FD-\u06FE\u0700-\u070F\u07F6-\u07F9\u07FE-\u07FF\u0830-\u083E\u085E\u0888\u0890-\u0891\u08E2'
        '\u0964-\u0965\u0970\u09F2-\u09FB\u09FD\u0A76\u0AF0-\u0AF1\u0B70\u0B72-\u0B77\u0BF0-\u0BFA\u0C77-\u0C7F\u0C84'
        '\u0D4F\u0D58-\u0D5E\u0D70-\u0D79\u0DF4\u0E3F\u0E4F\u0E5A-\u0E5B\u0F01-\u0F17\u0F1A-\u0F1F\u0F2A-\u0F34\u0F36'
        '\u0F38\u0F3A-\u0F3D\u0F85\u0FBE-\u0FC5\u0FC7-\u0FDA\u104A-\u104F\u109E-\u109F\u10FB\u1360-\u137C'
        '\u1390-\u1399\u1400\u166D-\u166E\u1680\u169B-\u169C\u16EB-\u16ED\u1715\u1734-\u1736\u17D4-\u17D6'
        '\u17D8-\u17DB\u17F0-\u180A\u1940-\u1945\u19DA-\u19FF\u1A1E-\u1A1F\u1AA0-\u1AA6\u1AA8-\u1AAD\u1B5A-\u1B6A'
        '\u1B74-\u1B7E\u1BF2-\u1BFF\u1C3B-\u1C3F\u1C7E-\u1C7F\u1CC0-\u1CC7\u1CD3\u1CE1\u1CF7\u2010-\u20C0'
        '\u2104-\u212E\u213A-\u214D\u214F\u218A-\u2BFF\u2CE5-\u2CEA\u2CF9-\u2CFF\u2D70\u2E00-\u2E2E\u2E30-\u3004'
        '\u3008-\u3020\u302E-\u3030\u3037\u303D-\u303F\u30A0\u30FB\u3190-\u3191\u31C0-\u31E3\u3248-\u327F'
        '\u4DC0-\u4DFF\uA490-\uA4C6\uA4FE-\uA4FF\uA60D-\uA60F\uA673\uA67E\uA6F2-\uA716\uA720-\uA721\uA789-\uA78A'
        '\uA828-\uA82B\uA830-\uA839\uA874-\uA877\uA8CE-\uA8CF\uA8F8-\uA8FA\uA8FC\uA92E-\uA92F\uA95F\uA9C0-\uA9CD'
        '\uA9DE-\uA9DF\uAA5C-\uAA5F\uAA77-\uAA79\uAADE-\uAADF\uAAF0-\uAAF1\uAB5B\uAB6A-\uAB6B\uABEB-\uABEC'
        '\uFBB2-\uFDFF\uFE45-\uFE46\uFFFC-\uFFFD\U00010100-\U0001013F\U00010175-\U000101FC\U000102E1-\U000102FB'
        '\U00010320-\U00010323\U0001039F\U000103D0\U0001056F\U00010857-\U0001085F\U00010877-\U0001087F'
        '\U000108A7-\U000108AF\U000108FB-\U000108FF\U00010916-\U0001091F\U0001093F\U000109BC-\U000109BD'
        '\U000109C0-\U000109FF\U00010A40-\U00010A58\U00010A7D-\U00010A7F\U00010A9D-\U00010A9F\U00010AC8'
        '\U00010AEB-\U00010AF6\U00010B39-\U00010B3F\U00010B58-\U00010B5F\U00010B78-\U00010B7F\U00010B99-\U00010BAF'
        '\U00010CFA-\U00010CFF\U00010E60-\U00010E7E\U00010EAD\U00010F1D-\U00010F26\U00010F51-\U00010F59'
        '\U00010F86-\U00010F89\U00010FC5-\U00010FCB\U00011047-\U00011065\U000110BB-\U000110C1\U000110CD'
        '\U00011140-\U00011143\U00011174-\U00011175\U000111C0\U000111C5-\U000111C8\U000111CD\U000111DB'
        '\U000111DD-\U000111F4\U00011235\U00011238-\U0001123D\U000112A9\U0001134D\U0001144B-\U0001144F'
        '\U0001145A-\U0001145D\U000114C6\U000115C1-\U000115D7\U00011641-\U00011643\U00011660-\U0001166C\U000116B6'
        '\U000116B9\U0001173A-\U0001173F\U0001183B\U000118EA-\U000118F2\U0001193D\U00011944-\U00011946\U000119E2'
        '\U00011A3F-\U00011A46\U00011A9A-\U00011A9C\U00011A9E-\U00011AA2\U00011C41-\U00011C45\U00011C5A-\U00011C71'
        '\U00011EF7-\U00011EF8\U00011FC0-\U00011FFF\U00012470-\U00012474\U00012FF1-\U00012FF2\U00013430-\U00013438'
        '\U00016A6E-\U00016A6F\U00016AF5\U00016B37-\U00016B3F\U00016B44-\U00016B45\U00016B5B-\U00016B61'
        '\U00016E80-\U00016E9A\U00016FE2\U0001BC9C\U0001BC9F\U0001CF50-\U0001D166\U0001D16A-\U0001D172'
        '\U0001D183-\U0001D184\U0001D18C-\U0001D1A9\U0001D1AE-\U0001D241\U0001D245-\U0001D9FF\U0001DA37-\U0001DA3A'
        '\U0001DA6D-\U0001DA74\U0001DA76-\U0001DA83\U0001DA85-\U0001DA8B\U0001E14F\U0001E2FF\U0001E8C7-\U0001E8CF'
        '\U0001E95E-\U0001FBCA';
    _zeros CONSTANT integer[] := ARRAY[
        1632, 1776, 1984, 2406, 2534, 2662, 2790, 2918, 3046, 3174, 3302, 3430, 3558, 3664, 3792, 3872, 4160, 4240,
        6112, 6160, 6470, 6608, 6784, 6800, 6992, 7088, 7232, 7248, 42528, 43216, 43264, 43472, 43504, 43600, 44016,
        66720, 68912, 69734, 69872, 69942, 70096, 70384, 70736, 70864, 71248, 71360, 71472, 71904, 72016, 72784,
        73040, 73120, 92768, 92864, 93008, 123200, 123632, 125264];
    _text text := regexp_replace(content, format('[%s]+', _unseen), '', 'g');
    _digit text;
    _zero integer;
BEGIN
    _text := regexp_replace(
        _text, format('([^\u0001-@\[-`{-\u00BF%1$s%2$s%3$s]{1,24})([%1$s]+)', _raised, _symbols, _others),
        '\1 \2 \1\2 ', 'g');
    _text := regexp_replace(
        _text, '(?<![^\u0001-@\[-`{-\u00B1\u00B4-\u00B8\u00BA-\u00BF])[¹²³⁰⁴-⁹]+', ' \& ', 'g');
    _text := normalize(regexp_replace(_text, format('[%s]', _symbols), ' \& ', 'g'), NFKC);
    -- Of the dotted capital I some locales make two characters.
    _text := replace(replace(pgknowbase_lower(_text), 'ς', 'σ'), 'i̇', 'i');
    LOOP
        _digit := substring(_text FROM format('[%s]', (
            SELECT string_agg(chr(z) || '-' || chr(z + 9), '') FROM unnest(_zeros) AS z)));
        EXIT WHEN _digit IS NULL;
        SELECT max(z) INTO _zero FROM unnest(_zeros) AS z WHERE z <= ascii(_digit);
        _text := translate(_text, (SELECT string_agg(chr(_zero + n), '' ORDER BY n) FROM generate_series(0, 9) AS n),
            '0123456789');
    END LOOP;
    _text := regexp_replace(_text, format('[%s]+', _others), ' ', 'g');
    -- NFKC makes a space and a mark of an accent that stands alone.
    RETURN regexp_replace(_text, ' [\u0300-\u036F\u3099-\u309A]+', ' ', 'g');
END
$pgknowbase$;
