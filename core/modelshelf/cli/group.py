"""The ``modelshelf`` command itself: global options, and the commands below it, loaded when they are run."""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.app import App
from modelshelf.display import neutral

if TYPE_CHECKING:
    from modelshelf.cli.extensions import Extension

PROGRAM = "modelshelf"

# Name to one line of help: --help shows this without importing a command.
SUMMARIES = {
    "scan": "Find models and record what each is and whether it is sound.",
    "ls": "List the recorded models.",
    "show": "Show everything that is known of a model, and where it was read.",
    "check": "Look at models again and record their health.",
    "why": "Tell why a file or folder is a model, or is not.",
    "default": "Show or set the default model.",
    "set": "Change settings of a model; they outlive every scan.",
    "rm": "Remove a model's record; its files stay.",
    "pin": "Have a model stand for one of its versions.",
    "export": "Write all records, or what was set by hand.",
    "import": "Take over what was set by hand elsewhere.",
    "doctor": "Check the store and the plugins; repair a damaged store.",
    "du": "Show where the space goes: by store, family and quantization.",
    "fit": "Say whether models fit into memory, and with which context.",
    "dupes": "Show models that take up space more than once.",
    "sources": "List, add and remove places where models lie.",
    "watch": "Keep the records up to date while files come and go.",
    "plugins": "List the plugins and what became of them.",
    "completion": "Print the completion script of a shell.",
}


_LOOKING = frozenset({"ls", "show"})  # these begin to log where they come to load what logs


class LazyGroup(click.Group):
    """Commands by name out of `SUMMARIES`, and those that other distributions add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, the built-in ones in the order of `SUMMARIES`."""
        return [*SUMMARIES, *sorted(_extensions(ctx).keys() - SUMMARIES.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now, or None."""
        if cmd_name in SUMMARIES:
            module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
            command: click.Command = import_module(f"modelshelf.cli.{module}").command
            return command
        extension = _extensions(ctx).get(cmd_name)
        return extension.command() if extension else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names with their summaries, without importing a built-in command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))
        added = [(neutral(name), neutral(one.summary)) for name, one in sorted(_extensions(ctx).items())]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)


def _extensions(ctx: click.Context) -> dict[str, Extension]:
    """The commands that plugins add; nothing is loaded where there are only the built-in ones."""
    found = ctx.meta.get(f"{__name__}.extensions")
    if found is None:
        found = {}
        if _app(ctx).plugin_files or _others_have_plugins():
            from modelshelf.cli.extensions import load_extensions

            found = {name: one for name, one in load_extensions(_app(ctx)).items() if name not in SUMMARIES}
        ctx.meta[f"{__name__}.extensions"] = found
    return found


def _others_have_plugins() -> bool:
    from modelshelf.plugin.find import entry_points_of, files_of_environment, others_offer

    if files_of_environment():
        return True
    if not others_offer(PROGRAM, PROGRAM):
        return False
    return any(one.dist is not None and one.dist.name != PROGRAM for one in entry_points_of(PROGRAM))


def _app(ctx: click.Context) -> App:
    """The run's `App`, made of the global options as far as they were read."""
    if ctx.obj is None:
        parameters: dict[str, Any] = ctx.params
        ctx.obj = App(
            store=parameters.get("store"),
            config=parameters.get("config"),
            plugin_files=parameters.get("plugin") or (),
            log_format=parameters.get("log_format") or "text",
            verbosity=parameters.get("verbose") or 0,
        )
    app: App = ctx.obj
    return app


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--store", metavar="DIR", help="Where the records lie. [MODELSHELF_STORE]")
@click.option(
    "--config", metavar="FILE", help="Settings to use instead of the user's own. [MODELSHELF_CONFIG]"
)
@click.option(
    "--plugin",
    metavar="FILE",
    multiple=True,
    is_eager=True,  # so that --help shows its commands
    type=click.Path(exists=True, dir_okay=False),
    help="A Python file to load as a plugin; may be given several times. [MODELSHELF_PLUGINS]",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    envvar="MODELSHELF_LOG_FORMAT",
    help="How log records are written to standard error.",
)
@click.option("-v", "--verbose", count=True, help="Log every change; twice, log everything.")
@click.version_option(package_name="modelshelf", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, /, *, verbose: int, **_options: object) -> None:
    """Find AI model files; say what each is and whether it is sound and safe, by reading headers only.

    The records lie in --store, else in $MODELSHELF_STORE, else where the configuration says, else in
    vendor/layerData when the working directory has it, else in the user's data folder.

    Exit codes: 0 done, 1 a problem was found, 2 wrong use, 130 interrupted.
    """
    app = _app(ctx)
    if ctx.invoked_subcommand not in _LOOKING or verbose:
        app.begin_logging()
