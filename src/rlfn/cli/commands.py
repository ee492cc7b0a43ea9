"""The classes of commands: help in groups with examples, arguments that are explained, valid names in every refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from rlfn.cli.messages import Session
from rlfn.errors import unknown


class Argument(click.Argument):
    """An argument with a sentence in its command's help."""

    def __init__(self, names: Sequence[str], about: str = "", **attributes: Any) -> None:
        super().__init__(names, **attributes)
        self.about = about


def argument(name: str, about: str, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an argument as a decorator."""
    decorator: Callable[[Any], Any] = click.argument(name, cls=Argument, about=about, **attributes)
    return decorator


class Command(click.Command):
    """A command with examples, and the section of the help in which it is listed."""

    def __init__(self, *args: Any, section: str = "", examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as usual; every mistake knows in which command it was made."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, then the options."""
        rows = [(each.human_readable_name, each.about) for each in self.params if isinstance(each, Argument)]
        if rows:
            with formatter.section("Arguments"):
                formatter.write_dl(rows)
        super().format_options(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one a line."""
        _write_examples(self.examples, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it, as the command whose flags messages name."""
        running = ctx.find_object(Session)
        if running is not None:
            running.command = self
        return super().invoke(ctx)


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Declare a command as a decorator: ``section``, ``examples`` and what click takes."""
    return click.command(name, cls=Command, **attributes)


class Group(click.Group):
    """A command of commands, listed by section."""

    def __init__(self, *args: Any, section: str = "", examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section
        self.examples = tuple(examples)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help, as an error, where no command is named; ``help NAME`` is ``NAME --help``."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if not args and not ctx.resilient_parsing:
            raise NothingAsked(ctx.get_help(), ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; refuse a mistyped one with the names of all."""
        if not (ctx.resilient_parsing or args[0].startswith("-") or args[0] in self.commands):
            ctx.fail(str(unknown("command", args[0], self.commands)))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, a section after the other."""
        widest = max(map(len, self.commands))
        for section in dict.fromkeys(getattr(one, "section", "") for one in self.commands.values()):
            rows = [
                (name.ljust(widest), one.get_short_help_str(limit=formatter.width))
                for name, one in self.commands.items()
                if getattr(one, "section", "") == section and not one.hidden
            ]
            with formatter.section(section or "Commands"):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one a line."""
        _write_examples(self.examples, formatter)


class NothingAsked(click.UsageError):
    """No command was named; the message is the help."""


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
