"""Checks names, prose and shape of the sources: banned words, long summary lines, long functions and files.

Usage: ``python .ci/check_language.py [PATH ...]``; without paths, all tracked sources and pages. Prints one
line for each finding and exits with 1 if there is any. docs/glossary.md has the terms to use instead.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_SUMMARY_WORDS = 15
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 450

# Pattern -> the term to use instead.
BANNED_WORDS = {
    r"\bhappenings?\b": "scheduled event",
    r"\bsurely\b": "significantly, or: the 95% interval excludes 0",
    r"\bdearer\b": "more expensive, or: extra cost",
    r"\b(cannot|can not|could not) be told (apart|from)\b": "indistinguishable from",
    r"\brooms?\b": "buffer, scratch, or space",
    r"\b(whose|its|their|which|first|last|own|old|new|the|a) places?\b": "index, slot, or position",
    r"\b[a-z_]*_places?\b|\bplaces?_[a-z_]+\b": "index, slot, or position",
    r"\blog_odds\b": "log_probs",
    r"\bodds\b": "probs",
    r"\bmorning\(|\bStage::(Night|Between)\b": "day_start, BeforeDay, BeforeTick",
    r"\btak(e|es|en|ing) up\b|\btake_up\b": "load, resume, or continue",
    r"\bnobody (can|could|knows?|should|may)\b": "(name the subject)",
    r"\bwhoever\b": "(name the subject)",
    r"\bof which it\b": "(split the sentence)",
    r"\bthe most trusted\b": "(say which)",
    r"\bwhat (becomes|became|is left|comes|goes|stands) of\b": "(use a noun)",
    r"\bthere (is|are) whole\b|\bhalf there\b": "atomic, partial",
    r"\b(MOST|FEWEST|WIDEST|LONGEST|LARGEST|SMALLEST|LEAST)_[A-Z]": "MAX_, MIN_",
    r"_(MOST|FEWEST|WIDEST|LONGEST|LARGEST|SMALLEST|LEAST)\b": "MAX_, MIN_",
    r"\bmost_(money|slots|ticks|rows|banks)\b": "max_",
    r"\bdoors?\b": "interface",
    r"\bdice\b": "random draws",
}
SUFFIXES = {".md", ".py", ".pyi", ".rs", ".yaml"}
# The changelog names what has been renamed; this file and the glossary quote the words.
SKIPPED = {"CHANGELOG.md", ".ci/check_language.py", "docs/glossary.md"}


def sources(arguments: list[str]) -> Iterator[Path]:
    """Yields the files to check, relative to the root."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "--", *arguments]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, listed):
        path = Path(name)
        if name not in SKIPPED and path.suffix in SUFFIXES and (ROOT / path).is_file():
            yield path


def word_findings(name: Path, text: str) -> Iterator[str]:
    """Yields one line for each banned word."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in BANNED_WORDS.items():
            if found := re.search(pattern, line):
                yield f"{name}:{number}: '{found[0]}': use {instead}"


def _summary_finding(name: Path, number: int, summary: str) -> Iterator[str]:
    words = len(summary.split())
    if words >= MAX_SUMMARY_WORDS:
        limit = f"must be under {MAX_SUMMARY_WORDS}"
        yield f"{name}:{number}: summary of {words} words, {limit}: {summary[:60]}..."


def python_findings(name: Path, text: str) -> Iterator[str]:
    """Yields long summaries and long functions of a Python file."""
    for node in ast.walk(ast.parse(text)):
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if not is_function and not isinstance(node, ast.Module | ast.ClassDef):
            continue
        documented = ast.get_docstring(node)
        if documented:
            paragraph = documented.split("\n\n")[0]
            yield from _summary_finding(name, node.body[0].lineno, paragraph)
        if is_function:
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{name}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def rust_findings(name: Path, text: str) -> Iterator[str]:
    """Yields long summaries and long functions of a Rust file."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        documented = re.match(r"\s*//[/!] ?(.*)", lines[number])
        if documented:
            first, block = number, []
            while number < len(lines) and (part := re.match(r"\s*//[/!] ?(.*)", lines[number])):
                block.append(part[1])
                number += 1
            summary = "\n".join(block).split("\n\n")[0]
            yield from _summary_finding(name, first + 1, summary)
            continue
        if function := re.match(
            r"(\s*)(?:pub(?:\([^)]*\))? )?(?:const |unsafe |async )*fn (\w+)", lines[number]
        ):
            end = next(
                (i for i in range(number, len(lines)) if lines[i].startswith(function[1] + "}")), number
            )
            if end - number + 1 > MAX_FUNCTION_LINES:
                length = end - number + 1
                yield f"{name}:{number + 1}: {function[2]} has {length} lines, at most {MAX_FUNCTION_LINES}"
        number += 1


def findings(name: Path) -> Iterator[str]:
    """Yields all findings in one file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    yield from word_findings(name, text)
    is_test = name.parts[0] == "tests" or name.parts[:2] == ("rust_env", "tests")
    if name.suffix in {".py", ".rs"} and not is_test and len(text.splitlines()) > MAX_FILE_LINES:
        yield f"{name}: {len(text.splitlines())} lines, at most {MAX_FILE_LINES}"
    if name.suffix == ".py":
        yield from python_findings(name, text)
    elif name.suffix == ".rs":
        yield from rust_findings(name, text)


def main() -> int:
    """Prints all findings.

    Returns:
        1 if there is a finding, else 0.
    """
    found = [line for name in sources(sys.argv[1:]) for line in findings(name)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
