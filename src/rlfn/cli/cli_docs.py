"""The reference of the command line, written from the commands' own help.

python -m rlfn.cli.cli_docs > docs/reference/cli.md
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from rlfn.cli import app
from rlfn.cli.commands import Argument, Command, Group
from rlfn.cli.options import Names

_HEAD = """# Command line

Written by `python -m rlfn.cli.cli_docs` from the commands' own help. `rlfn COMMAND --help` prints the same.

Exit status: 0 success; 1 at least one picture, set or file failed; 2 invalid command line or input, nothing was
started; 130 interrupted by Ctrl-C (143: by SIGTERM).

| variable | meaning |
|---|---|
"""


def reference() -> str:
    """Return the reference as Markdown: a section a command, a table of its options, its examples."""
    lines = _HEAD.splitlines()
    lines += [f"| `{name}` | {help} |" for name, help in _variables()]
    for path, one in _commands(app):
        lines += ["", *_section(path, one)]
    return "\n".join(lines) + "\n"


def _commands(group: Group, path: tuple[str, ...] = ("rlfn",)) -> Iterator[tuple[str, Command | Group]]:
    yield " ".join(path), group
    for name, one in group.commands.items():
        if isinstance(one, Group):
            yield from _commands(one, (*path, name))
        elif isinstance(one, Command):
            yield " ".join((*path, name)), one


def _variables() -> Iterator[tuple[str, str]]:
    """Yield the environment variables that options take their values from."""
    found: dict[str, str] = {}
    for _, one in _commands(app):
        for parameter in one.params:
            if isinstance(parameter, click.Option) and parameter.envvar:
                found[str(parameter.envvar)] = f"Default for `{parameter.opts[0]}`. {_plain(parameter.help)}"
    yield from found.items()


def _section(path: str, one: Command | Group) -> list[str]:
    context = click.Context(one, info_name=path)
    arguments = [each.human_readable_name for each in one.params if isinstance(each, Argument)]
    usage = " ".join([path, "[OPTIONS]", *(["COMMAND", "[ARGS]..."] if isinstance(one, Group) else arguments)])
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(one.help or ""))
    lines = [f"{'#' * (1 + len(path.split()))} {path}", "", *text.splitlines(), "", "```", usage, "```"]
    if isinstance(one, Group):
        for section in dict.fromkeys(getattr(each, "section", "") for each in one.commands.values()):
            lines += ["", f"| {section or 'command'} | |", "|---|---|"]
            for name, each in one.commands.items():
                if getattr(each, "section", "") == section:
                    anchor = f"{path} {name}".replace(" ", "-")
                    lines.append(f"| [`{name}`](#{anchor}) | {each.get_short_help_str(200)} |")
    rows = [_row(each, context) for each in one.get_params(context) if "--help" not in each.opts]
    if rows:
        lines += ["", "| argument or option | default | meaning |", "|---|---|---|", *rows]
    if one.examples:
        lines += ["", "```sh", *one.examples, "```"]
    return lines


def _row(parameter: click.Parameter, context: click.Context) -> str:
    if isinstance(parameter, Argument):
        return f"| `{parameter.human_readable_name}` | | {_plain(parameter.about)} |"
    assert isinstance(parameter, click.Option)
    names = ", ".join(f"`{name}`" for name in sorted((*parameter.opts, *parameter.secondary_opts), key=len))
    value = "" if parameter.is_flag else f" {_metavar(parameter)}"
    default = re.search(r"default: ([^];]*)", (parameter.get_help_record(context) or ("", ""))[1])
    said = "required" if parameter.required else default[1] if default else ""
    return f"| {names}{_cell(value)} | {said} | {_plain(parameter.help)} |"


def _metavar(option: click.Option) -> str:
    if option.metavar or not isinstance(option.type, Names):
        return option.metavar or option.type.name.upper()
    return option.type.get_metavar(option)


def _plain(text: str | None) -> str:
    return _cell(re.sub(r"\s*\[default: .*?\]", "", text or ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
