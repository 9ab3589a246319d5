"""Run every command shown in the README and the docs, and compare what it prints.

A page's ``console`` blocks run in order, in one shell, in a folder of the page's own, with the
built wheel installed and a scripted model behind ``OPENAI_BASE_URL``. A line that starts with
``$`` is a command, the lines below it are what it prints (both streams). A line ``...`` stands
for any lines. What differs from run to run (ids, times, ports) is compared by its form.

Comments before a block steer it:

    <!-- check: skip: REASON -->      shown only; the reason is printed
    <!-- check: exit N -->            the block's last command ends with status N
    <!-- check: write NAME -->        the block is a file, written to the page's folder

``--update`` writes what the commands print into the pages, for review.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS_PER_PAGE = 420
MARK = "\x1e"

_DIRECTIVE = re.compile(r"<!-- check: (skip: (?P<reason>.+?)|exit (?P<exit>\d+)|write (?P<write>\S+)) -->")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_SHELLS = {"bash", "sh", "shell", "zsh"}

# What differs from run to run, and what stands for it.
_VOLATILE = (
    (re.compile(r"\b[0-9a-f]{32}\b|\b[0-9a-f]{16}\b|\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?)?"), "<time>"),
    (re.compile(r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d\b"), "<time>"),
    (re.compile(r"(?<![\w.$])\d+(?:\.\d+)?\s?(?:µs|ms|s|min|h)\b(?: \d+\s?s\b)?"), "<duration>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<host>"),
    (re.compile(r"[─━═-]{4,}"), "<rule>"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass
class Command:
    """A command, where it stands, and what the page says it prints."""

    line: int
    text: str
    expected: list[str] = field(default_factory=list)
    exit: int = 0
    printed: list[str] = field(default_factory=list)


@dataclass
class Page:
    """A page's commands and files in order, and what it only shows."""

    path: Path
    lines: list[str]
    steps: list[Command | tuple[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def commands(self) -> list[Command]:
        """The commands that run."""
        return [step for step in self.steps if isinstance(step, Command)]


def read_page(path: Path) -> Page:
    """Take a page apart.

    Raises:
        SystemExit: It shows commands in a block that would not be checked.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    page = Page(path, lines)
    index = 0
    while index < len(lines):
        fence = _FENCE.match(lines[index])
        if fence is None:
            index += 1
            continue
        start, language = index + 1, fence["language"]
        end = next((i for i in range(start, len(lines)) if lines[i].strip() == "```"), len(lines))
        directive = _DIRECTIVE.search(lines[start - 2]) if start >= 2 else None
        where = f"{path.relative_to(ROOT)}:{start}"
        if language in _SHELLS:
            raise SystemExit(f"{where}: commands belong in a `console` block, so that they are run")
        block = [line[len(fence["indent"]) :] for line in lines[start:end]]
        if directive is not None and directive["reason"]:
            page.skipped.append(f"{where}: {directive['reason']}")
        elif directive is not None and directive["write"]:
            page.steps.append((directive["write"], "\n".join(block) + "\n"))
        elif language == "console":
            commands = list(_commands(block, start))
            if not commands:
                raise SystemExit(f"{where}: a `console` block without a line that starts with `$ `")
            commands[-1].exit = int(directive["exit"]) if directive is not None else 0
            page.steps.extend(commands)
        index = end + 1
    return page


def _commands(block: list[str], start: int) -> list[Command]:
    commands: list[Command] = []
    continued = False
    for offset, line in enumerate(block):
        if continued:
            commands[-1].text += "\n" + line
        elif line.startswith("$ "):
            commands.append(Command(start + offset, line[2:]))
        elif commands:
            commands[-1].expected.append(line)
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return commands


def run_page(page: Page, folder: Path, environment: dict[str, str]) -> list[str]:
    """Run a page's commands; returns what went wrong beside their output."""
    script = ["set +e"]
    for step in page.steps:
        if isinstance(step, Command):
            script.append(f"{_as_run(step.text, folder)}\nprintf '{MARK}%d{MARK}' $?")
        else:
            name, text = step
            script.append(f"mkdir -p {shlex.quote(str(Path(name).parent))}")
            script.append(f"printf '%s' {shlex.quote(text)} > {shlex.quote(name)}")
    # The shell's own errors name no file of ours when it reads the script from -c.
    result = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_PER_PAGE,
        check=False,
    )
    parts = result.stdout.split(MARK)
    problems = []
    for command, output, status in zip(page.commands, parts[0::2], parts[1::2], strict=False):
        command.printed = output.replace(str(folder), "~").rstrip("\n").splitlines()
        if int(status) != command.exit:
            problems.append(
                f"{page.path.relative_to(ROOT)}:{command.line + 1}: `{command.text}` ended with {status}, "
                f"not {command.exit}:\n" + "\n".join(command.printed[-20:])
            )
    if len(parts) // 2 != len(page.commands):
        problems.append(f"{page.path.relative_to(ROOT)}: the shell ended early:\n{result.stdout[-2000:]}")
    return problems


def _as_run(text: str, folder: Path) -> str:
    """The command as it is run: an install line is resolved, in an empty environment, against our wheel."""
    if not text.startswith("pip install"):
        return text
    pip = folder / ".empty" / "bin" / "pip"
    make = f"test -x {pip} || {shlex.quote(sys.executable)} -m venv {folder / '.empty'}"
    options = f"--dry-run --quiet --find-links {shlex.quote(str(ROOT / 'dist'))}"
    return f"( {make}; {pip} {options} {text.removeprefix('pip ')} )".replace(
        f"{options} install", f"install {options}"
    )


def same(expected: list[str], printed: list[str]) -> bool:
    """Whether the output has the form that the page shows."""
    pattern = ["(?:.*\n)*?" if line.strip() == "..." else re.escape(form(line)) + "\n" for line in expected]
    text = "".join(form(line) + "\n" for line in printed)
    return re.fullmatch("".join(pattern), text) is not None


def form(line: str) -> str:
    """A line with a name in place of everything that differs from run to run."""
    for volatile, name in _VOLATILE:
        line = volatile.sub(name, line)
    return line.strip()


def updated(page: Page) -> str:
    """The page with what its commands printed: where any of it differs all of it, so that ids go together."""
    lines = list(page.lines)
    is_same = {command.line: same(command.expected, command.printed) for command in page.commands}
    for command in reversed(page.commands):
        is_cut = "..." in map(str.strip, command.expected)
        if all(is_same.values()) or (is_same[command.line] and is_cut):
            continue
        first = command.line + 1 + command.text.count("\n")
        indent = re.match(r" *", lines[command.line])
        prefix = indent[0] if indent is not None else ""
        lines[first : first + len(command.expected)] = [(prefix + line).rstrip() for line in command.printed]
    return "\n".join(lines) + "\n"


def environment_for(folder: Path, model_url: str) -> dict[str, str]:
    """A new user's shell, with our wheel installed and the scripted model in place of a provider."""
    kept = {
        name: os.environ[name] for name in os.environ if name.startswith(("PIP_", "SSL_")) or name == "LANG"
    }
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "COLUMNS": "100",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "scripted",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def pages() -> list[Path]:
    """Every page whose commands are checked."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    for folder in ("docs", "examples", "collector-config"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return [path for path in found if path.exists()]


def main() -> int:
    """Check the pages, or write them anew; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pages", nargs="*", type=Path, help="only these pages")
    parser.add_argument("--update", action="store_true", help="write what the commands print into the pages")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "examples"))
    from scripted import scripted_model

    failed = False
    with scripted_model() as model_url:
        for path in [page.resolve() for page in arguments.pages] or pages():
            page = read_page(path)
            with tempfile.TemporaryDirectory(prefix="spandag-docs-") as name:
                folder = Path(name)
                problems = run_page(page, folder, environment_for(folder, model_url))
            if arguments.update and not problems:
                path.write_text(updated(page), encoding="utf-8")
            else:
                problems += differences(page)
            sys.stdout.write(f"{path.relative_to(ROOT)}: {len(page.commands)} commands run\n")
            sys.stdout.writelines(f"  not run: {reason}\n" for reason in page.skipped)
            sys.stdout.writelines(f"{problem}\n" for problem in problems)
            failed = failed or bool(problems)
    return 1 if failed else 0


def differences(page: Page) -> list[str]:
    """Where the page shows something else than what was printed."""
    found = []
    for command in page.commands:
        if not same(command.expected, command.printed):
            diff = difflib.unified_diff(command.expected, command.printed, "shown", "printed", lineterm="")
            found.append(
                f"{page.path.relative_to(ROOT)}:{command.line + 1}: `{command.text}` prints something else:\n"
                + "\n".join(diff)
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
