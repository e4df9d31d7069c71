"""The command line. Commands are loaded when they are called, so that ``harness --help`` stays instant.

This is the one place where errors become exit codes (harness/errors.py lists them).
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from types import CodeType
from typing import Any

import click

from harness import __version__
from harness.errors import EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_USAGE, HarnessError

# name -> (module, one line for the overview); the line is here so that the overview imports no command.
COMMANDS = {
    "init": ("harness.cli.init", "Look at a URL, a pid or a command and write a first scenario."),
    "validate": ("harness.cli.validate", "Check scenario files; every mistake at once, as file:line."),
    "run": ("harness.cli.run", "Run a scenario: start the app, drive it, profile it, judge it."),
    "watch": ("harness.cli.watch", "Watch running processes: live view, recorded as a run, no traffic."),
    "top": ("harness.cli.top", "Who uses the memory of this machine: PSS, USS, RSS, swap, growth."),
    "report": ("harness.cli.report", "Analyse a recorded run again, in any format."),
    "compare": ("harness.cli.compare", "Compare two runs or sets of runs: pass, fail or cannot tell."),
    "gate": ("harness.cli.gate", "Judge a recorded run by expectations, against a baseline."),
    "bundle": ("harness.cli.bundle", "Pack a run into one redacted file for a colleague or an issue."),
    "export": ("harness.cli.export", "A run's timeline or profiles, in the formats of other programs."),
    "load": ("harness.cli.load", "Traffic from other machines: write what they need."),
    "fleet": ("harness.cli.fleet", "Ask many runs: drift, versions, endpoints, verdicts, costs."),
    "profile": ("harness.cli.profile", "Say what a profile file holds and means; convert it."),
    "doctor": ("harness.cli.doctor", "Which signals this machine gets, and what a scenario needs."),
    "agent": ("harness.cli.agent", "Write a directory with the agent, to mount into a container."),
    "tune": ("harness.cli.tune", "Kernel parameters for memory, judged by measurements; sets none."),
    "schema": ("harness.cli.schema", "Print the JSON Schema of scenario files or of JSON output."),
}


# What is wrong with a path or a file system and not with us: a name too long, a directory that may not be entered, a full disk.
_NOT_OURS = frozenset({errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT})


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} Commands: {', '.join(COMMANDS)}.", ctx) from None


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="harness")
def group() -> None:
    """Why does this PHP or Python service keep growing?

    One scenario in, one recorded run, one timeline and a verdict out: what grows, which endpoint, how sure.

    \b
    Examples:
      harness init http://127.0.0.1:8000/ -o shop.yaml
      harness validate shop.yaml
      harness run shop.yaml
      harness report runs/20261123-101500-shop --format text

    \b
    Exit codes: 0 done, expectations met; 1 an expectation failed; 2 wrong command line or scenario; 3 the target could
    not be started, reached or observed; 4 a guard rail stopped the run; 5 internal error; 130 interrupted.
    """  # \b is click's mark for "do not rewrap"


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``harness`` command; always exits."""
    sys.exit(invoke(argv))


def invoke(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code. Prints one clear message for an error, a traceback only for ours."""
    try:
        result: Any = group.main(args=argv, prog_name="harness", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except HarnessError as error:
        click.echo(f"error: {_shown(str(error))}", err=True)
        return error.exit_code
    except BrokenPipeError:
        _drop_stdout()  # its reader left: nothing to say
        return EXIT_INTERNAL
    except Exception as error:  # noqa: BLE001  # the last line of defence
        if isinstance(error, OSError) and _innermost(error) is click.echo.__code__:
            _drop_stdout()
            click.echo(f"error: cannot write to standard output: {error.strerror}", err=True)
            return EXIT_USAGE
        if isinstance(error, OSError) and error.errno in _NOT_OURS:
            place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
            click.echo(f"error: {place}{error.strerror}", err=True)
            return EXIT_USAGE
        traceback.print_exc()
        click.echo("error: this is a defect in harness; please report it with the text above", err=True)
        return EXIT_INTERNAL
    return result if isinstance(result, int) else 0


def _shown(text: str) -> str:
    """An error quotes targets, files and other hosts: of what it says, no control character reaches the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _innermost(error: BaseException) -> CodeType | None:
    """The function that raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return frames[-1][0].f_code if frames else None


def _drop_stdout() -> None:
    """Further output goes nowhere, without a complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
