"""``python -m docs.row_diagram``: draw docs/images/row.svg, the way of a row, from the code.

A step is a folder of sql/ and the package of the same name. Its modules are those that run a query in which a function
of the folder stands, or that install the folder's triggers. Its tables are those that the folder's statements fill and
read; to delete what was read is part of reading. Only tables by which one step hands something to another are drawn.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "django_app" / "pgknowbase"
PICTURE = Path(__file__).with_name("images") / "row.svg"
STEPS = {
    "capture": "triggers record that a row has changed",
    "relay": "claims events, renders rows, writes documents",
    "keywords": "keeps the words of each document",
    "vectorizer": "cuts documents into chunks and embeds them",
    "search": "finds chunks and words, and filters in SQL",
}
# The worker calls some functions of each step by itself.
CALLERS = (*STEPS, "worker")
# The chunk store is a table with a name of its own in each space, filled with COPY; searches read it by this view.
CHUNKS, COPY = "pgknowbase_chunk", "copy_chunks"
WRITE = re.compile(r"\b(?:INSERT INTO|UPDATE)\s+(pgknowbase_\w+)")
READ = re.compile(r"\b(?:FROM|JOIN)\s+(pgknowbase_\w+)\b(?!\()")

LEFT, BOX, RIGHT, WIDTH, ROW, TABLE_WIDTH = 20, 480, 680, 920, 92, 220
STYLE = """
text { font: 13px sans-serif; fill: #1b2733; }
.name { font-weight: bold; font-size: 15px; }
.small { font-size: 12px; fill: #4a5a68; }
rect { fill: #eef3f7; stroke: #417690; }
.table { fill: #fff6df; stroke: #b98a1b; }
path { fill: none; stroke-width: 1.5; }
.write { stroke: #2e7d4f; }
.read { stroke: #2f5fa8; stroke-dasharray: 5 4; }
"""


@dataclass(frozen=True)
class Step:
    """One stage of the way."""

    name: str
    modules: tuple[str, ...]
    writes: frozenset[str]
    reads: frozenset[str]


def queries() -> dict[str, str]:
    """The statements of each queries.sql by name."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(LIBRARY.glob("*/queries.sql")))
    return dict(re.findall(r"^-- (\w+) --\n(.*?)(?=^-- \w+ --|\Z)", text, re.MULTILINE | re.DOTALL))


def constants(module: Path) -> set[str]:
    """Every string and attribute name in a module, among them the names of the queries that it runs."""
    nodes = list(ast.walk(ast.parse(module.read_text(encoding="utf-8"))))
    strings = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return strings | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def steps() -> list[Step]:
    """All stages in their order."""
    paths = [path for package in CALLERS for path in sorted((LIBRARY / package).glob("*.py"))]
    modules = {f"{path.parent.name}/{path.name}": constants(path) for path in paths}
    return [_step(name, modules, queries()) for name in STEPS]


def _step(name: str, modules: dict[str, set[str]], statements: dict[str, str]) -> Step:
    (folder,) = (ROOT / "sql").glob(f"*_{name}")
    files = {path.stem: re.sub(r"--.*", "", path.read_text(encoding="utf-8")) for path in folder.glob("*.sql")}
    sql = "\n".join(files.values())
    own = {query for query, text in statements.items() if set(re.findall(r"pgknowbase_\w+", text)) & set(files)}
    callers = [
        module
        for module, names in sorted(modules.items())
        if names & own or any(text.startswith(f"{folder.name}/") for text in names)
    ]
    writes = set(WRITE.findall(sql))
    if any(COPY in names for module, names in modules.items() if module.startswith(f"{name}/")):
        writes.add(CHUNKS)
    return Step(name, tuple(callers), frozenset(writes), frozenset(READ.findall(sql)) - writes)


def handed_over(way: list[Step]) -> list[str]:
    """Tables that more than one step uses, in the order of their first writer."""
    written = [table for step in way for table in sorted(step.writes)]
    return [table for table in dict.fromkeys(written) if sum(table in step.writes | step.reads for step in way) > 1]


def draw() -> str:
    """The picture as SVG."""
    way = steps()
    tables = handed_over(way)
    height = ROW * len(way) + 70
    gap = (height - 50) / len(tables)
    middle = {table: 40 + gap * (number + 0.5) for number, table in enumerate(tables)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>The way of a row: {', '.join(STEPS)}</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="end" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill: #1b2733"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" style="fill: #ffffff; stroke: none"/>',
        _text(LEFT, 24, "Steps, and the modules that run their SQL", "small"),
        _text(RIGHT, 24, "Tables", "small"),
    ]
    for number, step in enumerate(way):
        top = 40 + ROW * number
        parts += [
            f'<rect x="{LEFT}" y="{top}" width="{BOX}" height="{ROW - 22}" rx="5"/>',
            _text(LEFT + 10, top + 20, step.name, "name"),
            _text(LEFT + 10, top + 39, STEPS[step.name]),
            _text(LEFT + 10, top + 58, " ".join(step.modules), "small"),
        ]
        for table in tables:
            if table in step.writes:
                parts.append(_line(LEFT + BOX, top + 28, RIGHT, middle[table] - 5, "write"))
            elif table in step.reads:
                parts.append(_line(RIGHT, middle[table] + 5, LEFT + BOX, top + 45, "read"))
    for table in tables:
        parts += [
            f'<rect class="table" x="{RIGHT}" y="{middle[table] - 15:.0f}" width="{TABLE_WIDTH}" height="30" rx="5"/>',
            _text(RIGHT + 10, middle[table] + 5, table),
        ]
    parts.append(_text(LEFT, height - 10, "Green lines: fills. Dashed blue lines: reads.", "small"))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "plain") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    bend = (x1 + x2) / 2
    path = f"M{x1:.0f},{y1:.0f} C{bend:.0f},{y1:.0f} {bend:.0f},{y2:.0f} {x2:.0f},{y2:.0f}"
    return f'<path class="{kind}" d="{path}" marker-end="url(#end)"/>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
