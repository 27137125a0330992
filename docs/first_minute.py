"""Record the README's quick start in a terminal, as the picture ``docs/images/first-minute.svg``.

``make first-minute`` runs the blocks as they stand, in a new virtual environment that has nothing, with no cache of
pip's and no built model, and draws what was printed. Nothing is left out, and nothing put in but the seconds that each
command took. pip is told to be quiet. The picture waits two seconds at most. The wheel is that of this checkout.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "first-minute.svg"
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n?```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
ROWS, COLUMNS = 26, 110
LINE, CHARACTER, MARGIN = 18, 7.8, 16
LONGEST_WAIT = 2.0
STYLE = """
svg { background: #14171b; font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
text { fill: #d5dae0; white-space: pre; }
.command { fill: #8fd0ff; }
.seconds { fill: #9aa5b1; }
.screen { visibility: hidden; }
@media not (prefers-reduced-motion: reduce) {
    .screen { animation: show 1s step-end; }
    .last { animation: hide 1ms step-end backwards; }
}
@keyframes show { from, to { visibility: visible } }
@keyframes hide { from, to { visibility: hidden } }
"""


@dataclass(frozen=True)
class Step:
    """A command, what it printed, and the seconds that it took."""

    command: str
    output: str
    seconds: float


def commands() -> list[str]:
    """The shell commands of the README's quick start; a block of Python is written into the file that it names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Quick start\n")[2].partition("\n## ")[0]
    found: list[str] = []
    for block in BLOCK.finditer(text):
        if block["language"] == "sh":
            found += _split(block["code"])
        elif block["language"] == "python":
            (path,) = re.findall(r"`([\w/]+\.py)`", block["before"])
            sign = ">>" if block["before"].startswith("At the end of") else ">"
            found.append(f"cat {sign} {path} <<'END'\n{block['code']}END")
    return found


def _split(code: str) -> list[str]:
    """The commands of a block: a line whose quotes are open belongs to the next one."""
    found, open_lines = [], ""
    for line in code.splitlines():
        open_lines += line
        try:
            shlex.split(open_lines)
        except ValueError:
            open_lines += "\n"
            continue
        found.append(open_lines)
        open_lines = ""
    return found


def record() -> list[Step]:
    """Run the commands in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="first-minute-"))
    folder.chmod(0o711)
    try:
        wheel = folder / "wheel"
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheel), str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        venv.create(folder / "venv", with_pip=True)
        work = folder / "work"
        work.mkdir(mode=0o711)
        leave_out = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE", "PYTHONPATH")
        environment = {name: value for name, value in os.environ.items() if name not in leave_out}
        environment |= {
            "PATH": os.pathsep.join([str(folder / "venv" / "bin"), environment["PATH"]]),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_QUIET": "2",
            "PIP_ROOT_USER_ACTION": "ignore",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(wheel),
            "COLUMNS": str(COLUMNS),
        }
        steps = []
        for command in commands():
            step, work = _run(command, work, folder, environment)
            steps.append(step)
        return steps
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: str, work: Path, folder: Path, environment: dict[str, str]) -> tuple[Step, Path]:
    """The step, and the folder in which it ended."""
    script = f'set -e\n{command}\npwd > "{folder}/pwd"\n'
    started = time.perf_counter()
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stdout}")
    output = done.stdout.replace(str(folder / "work"), "~")
    return Step(command, output, seconds), Path((folder / "pwd").read_text().strip())


@dataclass(frozen=True)
class Line:
    """A row of the terminal: when it appears, in seconds of the picture, and what stands at its end."""

    text: str
    at: float
    kind: str = ""
    end: str = ""


def lines(steps: list[Step]) -> list[Line]:
    """The rows of the terminal. The last one says what all commands took."""
    found: list[Line] = []
    now = 0.5
    for step in steps:
        for place, row in enumerate(step.command.splitlines()):
            taken = f"{step.seconds:.1f} s" if not place else ""
            found += _wrapped(("$ " if not place else "> ") + row, now, "command", taken)
        now += min(max(step.seconds, 0.4), LONGEST_WAIT)
        for row in step.output.splitlines():
            found += _wrapped(row, now)
    total = sum(step.seconds for step in steps)
    return [*found, Line("", now), Line(f"# {total:.0f} seconds in all", now, "seconds")]


def _wrapped(text: str, at: float, kind: str = "", end: str = "") -> list[Line]:
    rows = [text[start : start + COLUMNS] for start in range(0, len(text), COLUMNS)] or [""]
    return [Line(row, at, kind, end if not place else "") for place, row in enumerate(rows)]


def draw(steps: list[Step]) -> str:
    """The picture: the screen after each change, one after the other; where motion is reduced, the last one alone."""
    rows = lines(steps)
    times = sorted({row.at for row in rows})
    width, height = round(MARGIN * 2 + (COLUMNS + 8) * CHARACTER), MARGIN * 2 + ROWS * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>The quick start in a terminal</title>",
        f"<style>{STYLE}</style>",
    ]
    for number, at in enumerate(times):
        is_last = number == len(times) - 1
        timing = f"animation-delay: {at:.1f}s" + (
            "" if is_last else f"; animation-duration: {times[number + 1] - at:.1f}s"
        )
        parts.append(f'<g class="{"last" if is_last else "screen"}" style="{timing}">')
        parts += _screen([row for row in rows if row.at <= at][-ROWS:], width)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _screen(rows: list[Line], width: int) -> list[str]:
    parts = []
    for number, row in enumerate(rows, 1):
        y = MARGIN + number * LINE - 5
        kind = f' class="{row.kind}"' if row.kind else ""
        parts.append(f'<text x="{MARGIN}" y="{y}"{kind}>{escape(row.text)}</text>')
        if row.end:
            parts.append(f'<text x="{width - MARGIN}" y="{y}" class="seconds" text-anchor="end">{row.end}</text>')
    return parts


if __name__ == "__main__":
    recorded = record()
    PICTURE.write_text(draw(recorded), encoding="utf-8")
    sys.stdout.write("".join(f"{step.seconds:6.1f} s  {step.command.splitlines()[0]}\n" for step in recorded))
    sys.stdout.write(f"{sum(step.seconds for step in recorded):6.1f} s in all\n")
