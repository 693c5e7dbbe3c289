"""`saga`: the commands by name; each lives in a module of its own, imported when it is used.

Exit status: 0 fine, 1 findings or an unsuccessful saga, 2 usage or environment.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final, NoReturn

from sagalang import __version__

try:
    import click
except ModuleNotFoundError:  # installed without dependencies, to run compiled sagas
    print("error: `saga` needs the packages that come with it", file=sys.stderr)
    print("  = help: pip install sagalang", file=sys.stderr)
    sys.exit(2)

_COMMANDS: Final = {
    "new": "Make a project that passes `saga check` and runs.",
    "check": "Read .saga files and tell what is wrong with them.",
    "fmt": "Lay out .saga files in the one canonical way.",
    "explain": "Tell more about a message: `saga explain SG301`.",
    "run": "Run a saga against its services, or against fakes of them.",
    "runs": "List runs: what is under way, what ended how, and what waits for a person.",
    "show": "Say where a run stands: what was done, undone, is owed, and how to go on.",
    "watch": "Show what happens to running sagas, live.",
    "export": "Write the journal of a run as a file to keep, to send and to draw.",
    "prune": "Delete runs that ended long ago.",
    "resume": "Go on with runs that were left under way.",
    "signal": "Send an event to a run.",
    "cancel": "Ask a run to abort and undo what it did.",
    "settle": "Say what becomes of a step that waits for a person.",
    "test": "Run the scenarios of .saga files on a simulated clock.",
    "serve": "Run sagas behind an HTTP API: start, query, signal, cancel and settle them.",
    "mock": "Serve fakes of the services in a .saga file.",
    "render": "Draw a saga as a sequence diagram.",
    "verify": "Explore every failure of a saga that the contracts allow.",
    "diff": "Say which running sagas can go on under a changed definition.",
    "simulate": "Simulate many clients and a service in trouble.",
    "compile": "Write the Python that does what a saga says.",
    "completion": "Print what makes your shell complete `saga` commands.",
}


class LazyGroup(click.Group):
    """Knows its commands' names and help, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"sagalang.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            from sagalang.diagnostics.suggest import hint

            advice = hint(name, _COMMANDS) or "see `saga --help`"
            ctx.fail(f"There is no command `{name}`; {advice}")
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="saga", message="%(prog)s %(version)s")
def cli() -> None:
    """Sagas: business transactions over several services, undone when they must be.

    \b
    saga new shop                 a project to start from
    saga check shop.saga          is it right?
    saga run shop.saga --mock     try it before any service exists
    """


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: in the middle of an import it comes out as an ImportError."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def main(argv: list[str] | None = None) -> NoReturn:
    """The entry point. A bug of ours is told as one, with the trace only on request."""
    try:
        # Not in click's standalone mode: it would end Ctrl-C with status 1, as a finding.
        status = cli.main(args=argv, prog_name="saga", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        import os
        import traceback

        if _interrupted(error):
            sys.exit(130)
        if os.environ.get("SAGA_TRACEBACK"):
            traceback.print_exc()
        click.echo(
            f"error[SG900]: this is a bug in sagalang: {type(error).__name__}\n"
            "  = help: run it again with SAGA_TRACEBACK=1 and report what it prints",
            err=True,
        )
        sys.exit(2)
