"""Check that this checkout can be released, build wheel and sdist into dist/, and print what is left to do.

Nothing is tagged or uploaded. ``--check`` stops after the checks of the checkout.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def version_of(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def changelog_faults(root: Path) -> list[str]:
    """The changelog's first entry is that of the version, with a date and with text."""
    version = version_of(root)
    found = re.search(r"^## (\S+) \(([^)\n]+)\)\n(.*?)(?=^## |\Z)", (root / "CHANGELOG.md").read_text(), re.M | re.S)
    if found is None or found[1] != version:
        return [f"CHANGELOG.md does not begin with an entry of {version}. Write '## {version} ({date.today()})'."]
    faults = []
    try:
        date.fromisoformat(found[2])
    except ValueError:
        faults.append(f"CHANGELOG.md has {found[2]!r} as the date of {version}. Write '## {version} ({date.today()})'.")
    if not found[3].strip():
        faults.append(f"CHANGELOG.md says nothing about {version}. List what users notice.")
    return faults


def sql_faults(root: Path) -> list[str]:
    """Released SQL is unchanged. What is new is frozen on the way, and must be committed then."""
    done = run("make", "--no-print-directory", "release-sql", root=root)
    return [f"make release-sql: {(done.stdout + done.stderr).strip()}"] if done.returncode else []


def tree_faults(root: Path) -> list[str]:
    """Everything is committed: a build takes the files as they are."""
    changed = run("git", "status", "--porcelain", root=root).stdout.rstrip()
    return [f"The working tree is not clean. Commit these, or take them away:\n{changed}"] if changed else []


def tag_faults(root: Path) -> list[str]:
    """The version has no tag yet."""
    tag = f"v{version_of(root)}"
    if run("git", "tag", "--list", tag, root=root).stdout:
        return [f"The tag {tag} exists. Raise the version in pyproject.toml."]
    return []


def faults_of(root: Path) -> list[str]:
    """Everything that stops a release. Frozen SQL comes last, because to check it writes what is new."""
    faults = [*changelog_faults(root), *tag_faults(root), *tree_faults(root)]
    return faults or [*sql_faults(root), *tree_faults(root)]


def build(root: Path) -> list[Path]:
    """The wheel and the sdist in dist/, with metadata that an index accepts."""
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", dist, root], stdout=subprocess.DEVNULL, check=True)
    files = sorted(dist.iterdir())
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout, by default the one of this file")
    parser.add_argument("--check", action="store_true", help="build nothing")
    arguments = parser.parse_args()
    root: Path = arguments.root.resolve()
    if faults := faults_of(root):
        print("Not ready to be released:", *faults, sep="\n- ", file=sys.stderr)
        return 1
    if arguments.check:
        return 0
    files = " ".join(str(path.relative_to(root)) for path in build(root))
    tag = f"v{version_of(root)}"
    print(f"\nBuilt {files}. What is left:\n")
    print(f"  git tag -a {tag} -m {tag} && git push origin {tag}")
    print(f"  .venv/bin/python -m twine upload {files}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
