"""``modelshelf fit``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.options import complete_id, json_option

if TYPE_CHECKING:
    from modelshelf.cli.app import App
    from modelshelf.model import MemoryRequest, ModelConfig
    from modelshelf.registry.fits import Fit, Room
    from modelshelf.registry.registry import ModelRegistry

_DOES_NOT_FIT, _UNKNOWN = 1, 3
_USUAL_CONTEXT = 4096  # the least that llama.cpp's own fitting keeps
_COMPARED = (4096, 32768)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def _size(value: str) -> int:
    """Read a number with a binary unit: ``24G`` and ``24GiB`` of memory, ``32k`` tokens.

    Raises:
        click.BadParameter: It is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)\s*([KMGT]?)(?:I?B)?", value.strip().upper())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is no size; write 24G, 512M or a number")
    return round(float(match[1]) * (1 << _UNITS[match[2]]))


@click.command()
@click.argument("model_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option(
    "--memory", metavar="SIZE", type=_size, help="The device's memory: 24G. Without it all runs on the host."
)
@click.option("--ram", metavar="SIZE", type=_size, help="The host's memory. [what is available now]")
@click.option("--ctx", "context", metavar="TOKENS", type=_size, help="Tokens of context: 32k. [4096]")
@click.option("--parallel", type=click.IntRange(1), default=1, help="Sequences at the same time.")
@click.option("--unified", is_flag=True, help="Sequences share one cache.")
@click.option("--cache-k", default="f16", help="Element type of cached keys.")
@click.option("--cache-v", default="f16", help="Element type of cached values.")
@click.option("--ubatch", type=click.IntRange(1), default=512, help="Most tokens of one computation.")
@click.option("--flash/--no-flash", default=True, help="Flash attention.")
@click.option("--ngl", "device_layers", type=click.IntRange(0), help="Layers on the device. [what fits]")
@click.option("--swa-full", is_flag=True, help="Caches of sliding windows as long as the context.")
@click.option(
    "--engine", metavar="NAME", help="llama.cpp, transformers, vllm or mlx. [the usual one of the format]"
)
@click.option("--why", is_flag=True, help="Show which items are exact, estimated and unknown.")
@json_option
@click.pass_obj
def command(
    app: App,
    /,
    *,
    model_id: str | None,
    memory: int | None,
    ram: int | None,
    why: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Say whether models fit into memory, by their records alone.

    For the model ID exit code 0: it fits, 1: it does not, 3: that is not known. Without an ID all are listed.
    """
    from modelshelf.model import MemoryRequest
    from modelshelf.registry.fits import Room, host_room

    request = MemoryRequest(**options)
    available, source = (ram, "--ram") if ram is not None else host_room()
    room = Room(device=memory, host=available, source=source)
    with app.registry(readonly=True) as registry:
        if model_id is None:
            _list(app, registry, request, room, as_json=as_json)
            return 0
        from modelshelf.cli.show import recorded

        model = recorded(registry, model_id)
        found = _fit(registry, model, request, room)
    if as_json:
        app.write_json(_document(found))
    else:
        _show(app, model, found, room, why=why)
    if found.fits is None:
        return _UNKNOWN
    return 0 if found.fits else _DOES_NOT_FIT


def _fit(registry: ModelRegistry, model: ModelConfig, request: MemoryRequest, room: Room) -> Fit:
    from attrs import evolve

    from modelshelf.registry.fits import fit

    if request.context is None:
        trained = model.metadata.context_length or _USUAL_CONTEXT
        request = evolve(request, context=max(min(trained, _USUAL_CONTEXT), 1))
    return fit(lambda one: registry.estimate_memory(model.id, one), request, room)


def _document(found: Fit) -> dict[str, Any]:
    one = found.estimate
    return {
        "weights_bytes": one.weights_bytes,
        "kv_bytes": one.kv_bytes,
        "state_bytes": one.state_bytes,
        "compute_low_bytes": one.compute_low_bytes,
        "compute_high_bytes": one.compute_high_bytes,
        "output_bytes": one.output_bytes,
        "overhead_bytes": one.overhead_bytes,
        "total_bytes": one.total_bytes,
        "context": one.context,
        "context_max": found.context_max,
        "verdict": found.verdict,
        "exact": list(one.exact),
        "estimated": list(one.estimated),
        "unknown": list(one.unknown),
    }


def _show(app: App, model: ModelConfig, found: Fit, room: Room, *, why: bool) -> None:
    one, screen = found.estimate, app.screen
    style = {True: "green", False: "red", None: "yellow"}[found.fits]
    screen.line(f"{model.id}: {found.verdict}", style)
    screen.item(f"engine: {one.engine}")
    for reason in one.unknown:
        screen.item(f"unknown: {reason}")
    if one.context is None:
        return
    largest = "none" if found.context_max is None else str(found.context_max)
    facts = [("context", str(one.context), f"largest that fits: {largest}")]
    for place, size in (one.weights_bytes or {}).items():
        facts.append(("weights", _gib(size), place))
    facts += [
        (
            "kv",
            _gib(cache.k_bytes + cache.v_bytes),
            f"{cache.kind}, {cache.layers} layers of {cache.cells} cells",
        )
        for cache in one.kv or ()
    ]
    facts.append(("state", _gib(one.state_bytes), ""))
    facts.append(("compute", _gib(one.compute_high_bytes), f"at least {_gib(one.compute_low_bytes)}"))
    facts.append(("output", _gib(one.output_bytes), ""))
    facts.append(("overhead", _gib(one.overhead_bytes), "what the engine keeps free or takes besides"))
    facts.append(("device", _gib(one.device_bytes), f"of {_gib(room.device)}"))
    facts.append(("host", _gib(one.host_bytes), f"of {_gib(room.host)} by {room.source or 'nothing'}"))
    screen.facts(facts)
    if why:
        screen.line(f"exact: {', '.join(one.exact) or 'nothing'}")
        screen.line(f"estimated: {', '.join(one.estimated) or 'nothing'}")
    if found.fits and one.engine == "llama.cpp":
        screen.line(f"llama-server -m {model.path} -c {one.context} -ngl {one.device_layers or 0}")


def _list(app: App, registry: ModelRegistry, request: MemoryRequest, room: Room, *, as_json: bool) -> None:
    from attrs import evolve

    from modelshelf.display import UNKNOWN, Cell, Column

    models = [model for model in map(registry.get, registry.list_models()) if model is not None]
    found = [(model, _fit(registry, model, request, room)) for model in models]
    if as_json:
        app.write_json([{"id": model.id, **_document(one)} for model, one in found])
        return
    columns = (
        Column("ID", gives_way=True),
        Column("QUANT", gives_way=True),
        *(Column(f"{one >> 10}K", right=True, expendable=True) for one in _COMPARED),
        Column("MAX", right=True, expendable=True),
        Column("CONTEXT", right=True),
        Column("VERDICT"),
    )
    styles = {True: "green", False: "red", None: "dim"}
    rows: list[tuple[str | Cell, ...]] = []
    for model, one in found:
        needs = [
            _gib(
                registry.estimate_memory(
                    model.id, evolve(request, context=context, device_layers=0)
                ).total_bytes
            )
            for context in (*_COMPARED, None)
        ]
        largest = UNKNOWN if one.context_max is None else str(one.context_max)
        verdict = Cell(one.verdict, styles[one.fits])
        rows.append((model.id, model.metadata.quantization or UNKNOWN, *needs, largest, verdict))
    app.screen.table(columns, rows)


def _gib(size: int | None) -> str:
    return "unknown" if size is None else f"{size / (1 << 30):.2f} GiB"
