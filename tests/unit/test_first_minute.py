"""The recorded terminal shows the README's quick start as it stands now."""

import re
from html import unescape

from docs.first_minute import COLUMNS, PICTURE, Step, commands, draw, lines

SHOWN = PICTURE.read_text(encoding="utf-8")
ROW = re.compile(r'<text x="16" y="(\d+)"(?: class="(\w+)")?>(.*?)</text>(?:\n<text [^>]*>([\d.]+) s</text>)?')


def rows(kind=""):
    """The different rows of all screens, with the seconds at their ends."""
    found = {(unescape(text), seconds) for _, of, text, seconds in ROW.findall(SHOWN) if of == kind}
    assert found
    return found


def test_the_commands_are_those_of_the_readme():
    wanted = [line for line in lines([Step(command, "", 0) for command in commands()]) if line.kind == "command"]
    assert len(wanted) > 20
    assert {text for text, _ in rows("command")} == {line.text for line in wanted}, "run `make first-minute`"


def test_it_ends_with_what_was_found_within_two_minutes():
    last = SHOWN[SHOWN.index('<g class="last"') :]
    assert ">0.28 Bicycle</text>" in last
    assert any("3 documents indexed" in text for text, _ in rows())
    taken = [float(seconds) for _, seconds in rows("command") if seconds]
    assert len(taken) == len(commands())
    (total,) = re.findall(r"# (\d+) seconds in all", last)
    assert abs(sum(taken) - int(total)) <= 1
    assert int(total) < 120


def test_nothing_of_the_machine_is_shown():
    assert not re.search(r"/(?:home|root|tmp|work|opt|Users)/", SHOWN)


def test_texts_are_drawn_as_they_are():
    shown = draw([Step("echo '<&>'\nend", f"a < b & c\n{'x' * (COLUMNS + 5)}", 0.25)])
    assert ">$ echo '&lt;&amp;&gt;'</text>" in shown.replace("&#x27;", "'")
    assert ">&gt; end</text>" in shown
    assert ">a &lt; b &amp; c</text>" in shown
    assert ">xxxxx</text>" in shown
    assert ">0.2 s</text>" in shown
