"""``modelshelf ls``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import complete_format, json_option
from modelshelf.cli.screen import complain

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelshelf.cli.app import App
    from modelshelf.model import Query
    from modelshelf.registry.listing import ModelListing


_SORT = "id"
_UNASKED = {"sort": _SORT, "descending": False, "all_versions": False}
"""Options that are not None where they are not given."""


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that are conditions of a `Query`, named as its attributes are."""
    for option in (
        click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most N models."),
        click.option("--all-versions", is_flag=True, help="Older versions too."),
        click.option("--missing/--present", default=None, help="Those whose files are gone, or are there."),
        click.option("--enabled/--disabled", default=None, help="Those that may be selected, or may not."),
        click.option(
            "--min-context", type=click.IntRange(min=0), metavar="TOKENS", help="Context of TOKENS or more."
        ),
        click.option(
            "--max-params", "max_parameters", metavar="COUNT", help="COUNT parameters or fewer, as in 8B."
        ),
        click.option(
            "--min-params", "min_parameters", metavar="COUNT", help="COUNT parameters or more, as in 1.5B."
        ),
        click.option("--license", metavar="NAME", help="Of that licence."),
        click.option("--source", metavar="NAME", help="Found by that source: local, ollama, …"),
        click.option("--tag", metavar="WORD", help="With that tag."),
        click.option("--health", metavar="STATUS", help="healthy, degraded, unhealthy, unknown or loading."),
        click.option(
            "--verdict", metavar="WORD", help="healthy, unsafe, damaged, incomplete, doubtful, not-judged, …"
        ),
        click.option("--modality", metavar="WORD", help="That take or give text, image, audio or video."),
        click.option(
            "--capability",
            metavar="WORD",
            help="Able to chat, tools, vision, thinking, embedding, rerank, …",
        ),
        click.option("--kind", metavar="NAME", help="Of that kind: text-generation, embedding, adapter, …"),
        click.option("--quant", "quantization", metavar="NAME", help="Of that quantization: Q4_K_M, F16, …"),
        click.option("--arch", "architecture", metavar="NAME", help="Of that architecture: llama, qwen2, …"),
        click.option(
            "--model-format", metavar="NAME", help="Of that file format: gguf, safetensors, pytorch, …"
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("text", required=False)
@_filters
@click.option(
    "--sort",
    default=_SORT,
    metavar="KEY",
    show_default=True,
    help="id, version, size, parameters, context, format, quantization, kind, health, used or added.",
)
@click.option("-r", "--reverse", "descending", is_flag=True, help="Turn the order round.")
@click.option(
    "--format",
    "output",
    default="table",
    metavar="NAME",
    show_default=True,
    shell_complete=complete_format,
    help="table, json, jsonl, csv, yaml, openai, or one that a plugin adds.",
)
@json_option
@click.pass_obj
def command(app: App, /, *, output: str, as_json: bool, model_format: str | None, **conditions: Any) -> None:
    """List the recorded models: all, or those whose id, name, title or path holds TEXT.

    A model has to meet every condition. Text is compared without regard to case. In the table a star marks
    the default model.
    """
    for key in ("min_parameters", "max_parameters"):
        conditions[key] = _parameters(key, conditions[key])
    conditions["format"] = model_format
    if as_json or output != "table":
        query = _query(conditions)
        with app.registry(readonly=True) as registry:
            serializer = registry.serializer("json" if as_json else output)
            app.write(serializer.dump(registry.find(query)))
    else:
        # Without a condition none is checked, and the class that does so, which takes a while, is not loaded.
        asked = any(value != _UNASKED.get(name) for name, value in conditions.items())
        condition = _query(conditions) if asked else None
        with app.listing() as listing:
            _show(app, listing, condition)


def _query(conditions: dict[str, Any]) -> Query:
    from modelshelf.model import Query

    return Query(**conditions)


def _show(app: App, listing: ModelListing, query: Query | None) -> None:
    from modelshelf.cli.models import show_table

    models = listing.find_summaries(query)
    if models:
        show_table(app.screen, models, listing)
    elif len(listing):
        complain("no model meets these conditions")
    else:
        complain("no model is recorded yet; `modelshelf scan PATH` finds some")


def _parameters(key: str, text: str | None) -> int | None:
    from modelshelf.model.quantity import parse_parameters

    count = None if text is None else parse_parameters(text)
    if text is not None and count is None:
        option = key.replace("_parameters", "-params")
        raise click.BadParameter(
            f"{text!r} is no count of parameters, as in 7B or 350M", param_hint=f"--{option}"
        )
    return count
