"""Help, examples and options of every command, by the table of commands itself."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rlfn.cli import app, options
from rlfn.cli.cli_docs import reference
from rlfn.cli.commands import Argument, Command, Group
from rlfn.evaluation.spoil import is_spoil
from rlfn.images.files import DEFAULT_MAX_PIXELS

ROOT = Path(__file__).parents[2]


def commands(group: Group = app, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Command | Group]]:
    """Yield every command with its words: ``data pack``."""
    for name, one in group.commands.items():
        assert isinstance(one, Command | Group)
        yield " ".join((*path, name)), one
        if isinstance(one, Group):
            yield from commands(one, (*path, name))


COMMANDS = dict(commands())


def parse(line: str) -> click.Context:
    """Parse an example as the shell and the command would, run nothing, and return the command's context."""
    found = re.search(r'\brlfn (.*?)(?=\)"|[|>&#]|$)', line)
    assert found is not None
    words = shlex.split(found[1])
    context = click.Context(app, info_name="rlfn")
    command: click.Command = app
    while isinstance(command, Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command = found
        if not isinstance(found, Group):
            with contextlib.suppress(click.exceptions.Exit):  # of --help
                return found.make_context(name, words, parent=context)
            return click.Context(found, parent=context)
        context = click.Context(found, info_name=name, parent=context)
    assert words
    return context


def assert_names_exist(context: click.Context) -> None:
    """Every name from a table is in that table, or a path where a path will do."""
    for parameter in context.command.params:
        if not isinstance(parameter.type, options.Names) or context.params.get(parameter.name or "") is None:
            continue
        given = context.params[parameter.name or ""]
        for name in (given,) if isinstance(given, str) else given:
            path = parameter.type.files and (Path(name).suffix or "/" in name)
            free = parameter.type in (options.SPOIL, options.MODEL_OR_SET) and is_spoil(name)  # q1 to q100, and so on
            assert path or free or name in list(parameter.type.names()), f"{context.command_path}: {name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(command, name: str) -> None:
    one = COMMANDS[name]
    done = command(*name.split(), "--help")
    assert done.status == 0
    text = done.out.decode()
    assert text.startswith(f"Usage: rlfn {name} [OPTIONS]")
    assert one.get_short_help_str(100).endswith(".")
    assert not one.get_short_help_str(100).endswith("...")
    for parameter in one.params:
        said = parameter.about if isinstance(parameter, Argument) else getattr(parameter, "help", "")
        assert said, parameter.name
        assert said.split("  [")[0].endswith((".", "?")), parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_are_valid(command, name: str) -> None:
    one = COMMANDS[name]
    assert one.examples
    shown = command(*name.split(), "--help").out.decode().split("Examples:\n")[1]
    for example in one.examples:
        assert f"  {example}\n" in shown
        assert f"rlfn {name}" in example
        context = parse(example)
        assert isinstance(one, Group) or context.command is one
        assert_names_exist(context)


def test_a_wrong_example_is_found() -> None:
    with pytest.raises(click.UsageError, match="widht"):
        parse("rlfn upscale photo.jpg --widht 3")
    with pytest.raises(click.UsageError, match="upscal"):
        parse("rlfn upscal photo.jpg")
    with pytest.raises(AssertionError, match="rlfn-x"):
        assert_names_exist(parse("rlfn upscale photo.jpg -m rlfn-x"))


def documented() -> Iterator[tuple[str, str]]:
    """Yield (document, command line) of every line of code in the documents that begins with ``rlfn``."""
    for path in sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]):
        text = path.read_text("utf-8").replace("\\\n", " ")
        for found in re.finditer(r"^(?: {4,}|\$ |    \$ )?(rlfn [a-z].*)$", text, re.MULTILINE):
            before = text[: found.start()]
            if found[0].startswith((" ", "$")) or before.count("\n```") % 2:
                yield path.relative_to(ROOT).as_posix(), found[1]


DOCUMENTED = list(documented())


def test_documents_show_commands() -> None:
    assert len(DOCUMENTED) > 20


@pytest.mark.parametrize(("document", "line"), DOCUMENTED)
def test_commands_in_documents_are_valid(document: str, line: str) -> None:
    if "..." in line or "[OPTIONS]" in line:
        pytest.skip("it says itself that it is not whole")
    parse(re.sub(r"[\[\]]", "", line))


def test_commands_are_grouped(command) -> None:
    text = command("--help").out.decode()
    headings = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert headings == ["Options", "Use", "Train", "Measure", "Ship", "Examples"]
    for name, one in app.commands.items():
        assert re.search(rf"^{one.section}:\n(?:  .*\n)*?  {name} ", text, re.MULTILINE), name


def test_one_word_means_one_thing() -> None:
    """An option's name stands for one setting in all commands, and what is shared is declared once."""
    meaning: dict[str, set[str]] = {}
    for one in COMMANDS.values():
        for parameter in one.params:
            if isinstance(parameter, click.Option):
                for flag in parameter.opts:
                    meaning.setdefault(flag, set()).add(parameter.type.name.replace("integer", "number"))
    assert {flag: kinds for flag, kinds in meaning.items() if len(kinds) > 1 and flag not in ("-o", "--output")} == {}
    assert meaning["--data"] == meaning["--sets-dir"] == {"folder"}
    for one in COMMANDS.values():
        for parameter in one.params:
            if "--output" in parameter.opts:
                assert parameter.opts == ["-o", "--output"]


def test_the_reference_is_what_the_commands_say() -> None:
    written = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    assert written == reference(), "run: python -m rlfn.cli.cli_docs > docs/reference/cli.md"
    for name in COMMANDS:
        assert re.search(rf"^#+ rlfn {name}$", written, re.MULTILINE)


def test_the_largest_input_is_the_library_s(command) -> None:
    assert f"[default: {DEFAULT_MAX_PIXELS // 10**6} million]" in " ".join(
        command("upscale", "--help").out.decode().split()
    )


def test_the_variable_of_the_sets_folder_is_documented(command) -> None:
    assert "RLFN_SETS_DIR" in command("eval", "--help").out.decode()


def test_help_is_a_word_too(command) -> None:
    for words in ((), ("upscale",), ("data", "pack")):
        done = command("help", *words)
        assert (done.status, done.out) == (0, command(*words, "--help").out)
    done = command("help", "upscael")
    assert done.status == 2
    assert "Did you mean 'upscale'?" in done.err


@pytest.mark.skipif(os.name != "posix", reason="a folder that is in use stays elsewhere")
def test_a_folder_that_was_removed_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    script = f"mkdir gone; cd gone; rmdir ../gone; '{sys.executable}' -m rlfn upscale ../a.png"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2
    assert "The current folder no longer exists." in done.stderr
