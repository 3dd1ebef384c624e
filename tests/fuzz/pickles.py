"""Hostile pickles: dangerous globals by every opcode route to a call, in every protocol."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable, Iterator

DANGEROUS = (
    "os system",
    "posix system",
    "nt system",
    "os popen",
    "os execv",
    "subprocess Popen",
    "subprocess check_output",
    "builtins eval",
    "builtins exec",
    "builtins compile",
    "builtins getattr",
    "builtins __import__",
    "builtins open",
    "__builtin__ eval",
    "__builtin__ execfile",
    "sys exit",
    "sys modules",
    "runpy run_path",
    "runpy _run_code",
    "importlib import_module",
    "pickle loads",
    "_pickle loads",
    "marshal loads",
    "shutil rmtree",
    "pty spawn",
    "code InteractiveInterpreter",
    "bdb Bdb.run",
    "pdb run",
    "profile run",
    "cProfile run",
    "timeit timeit",
    "trace Trace",
    "pip main",
    "pkgutil resolve_name",
    "operator attrgetter",
    "operator methodcaller",
    "functools partial",
    "types FunctionType",
    "types CodeType",
    "webbrowser open",
    "socket create_connection",
    "urllib.request urlopen",
    "http.client HTTPSConnection",
    "requests.api get",
    "asyncio run",
    "asyncio.unix_events _UnixSubprocessTransport._start",
    "multiprocessing.util spawnv_passfds",
    "torch hub.load",
    "torch.hub load",
    "torch load",
    "torch.serialization load",
    "torch.jit load",
    "torch._inductor.codecache compile_file",
    "torch.utils._config_module load_config",
    "torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression",
    "torch.utils.data.datapipes.utils.decoder basichandlers",
    "numpy load",
    "numpy.testing._private.utils runstring",
    "numpy.f2py crackfortran.getlincoef",
    "numpy.core.multiarray fromfile",
    "pathlib Path",
    "pathlib os.system",
    "pathlib PosixPath",
    "collections OrderedDict.fromkeys",
    "collections OrderedDict.__init__",
    "torch._utils _rebuild_tensor_v3.__globals__",
    "torch._tensor torch.load",
    "_codecs decode",
    "codecs open",
    "copyreg _reconstructor",
    "copyreg add_extension",
    "builtins getattr.__self__",
    "builtins set.__init__",
    "venv create",
    "ensurepip bootstrap",
    "idlelib.pyshell main",
    "lib2to3.pgen2.pgen ParserGenerator.make_label",
    "distutils.spawn spawn",
    "ctypes CDLL",
    "sqlite3 connect",
    "test.support.script_helper assert_python_ok",
    "aiohttp.client ClientSession",
    "joblib load",
    "dill loads",
    "cloudpickle loads",
    "site main",
    "mailcap findmatch",
    "ssl get_server_certificate",
    "uuid _popen",
    "some_package attack",
    "__main__ Evil",
    "torchx Size",
    "collections.abc Callable",
    "__torch__.evil Evil",
)

Route = Callable[[random.Random, bytes, bytes], bytes]


def _short(text: bytes) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text


def _unicode(text: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text


def _text(draw: random.Random, text: bytes) -> bytes:
    return draw.choice(
        (_short(text), _unicode(text), b"V" + text + b"\n", b"\x8d" + struct.pack("<Q", len(text)) + text)
    )


def _named(draw: random.Random, module: bytes, name: bytes) -> bytes:
    """Push a global: by GLOBAL, by STACK_GLOBAL, by names out of the memo, or memoized and fetched."""
    kind = draw.randrange(6)
    if kind == 0:
        return b"c" + module + b"\n" + name + b"\n"
    if kind == 1:
        return _text(draw, module) + _text(draw, name) + b"\x93"
    if kind == 2:
        return (
            _text(draw, module)
            + b"q\x05"
            + b"0"
            + _text(draw, name)
            + b"q\x06"
            + b"0"
            + b"h\x05"
            + b"h\x06"
            + b"\x93"
        )
    if kind == 3:
        return _text(draw, module) + b"p7\n" + b"0" + b"g7\n" + _text(draw, name) + b"\x93"
    if kind == 4:
        return b"c" + module + b"\n" + name + b"\n" + b"r\x09\x00\x00\x00" + b"0" + b"j\x09\x00\x00\x00"
    return b"N" + b"c" + module + b"\n" + name + b"\n" + b"\x94" + b"(N1" + b"2" + b"0"


def _argument(draw: random.Random) -> bytes:
    return draw.choice((_short(b"id"), b"K\x01", b"N", b"]", b"}", b"C\x02id", b"S'id'\n"))


def _reduce(draw: random.Random, module: bytes, name: bytes) -> bytes:
    arguments = draw.choice(
        (b"(" + _argument(draw) + b"t", _argument(draw) + b"\x85", b")", _argument(draw) * 2 + b"\x86")
    )
    return _named(draw, module, name) + arguments + b"R"


def _inst(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return b"(" + _argument(draw) + b"i" + module + b"\n" + name + b"\n"


def _obj(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return b"(" + _named(draw, module, name) + _argument(draw) + b"o"


def _newobj(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _named(draw, module, name) + b")" + b"\x81"


def _newobj_ex(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _named(draw, module, name) + b")" + b"}" + b"\x92"


def _build(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _named(draw, module, name) + b")\x81}(" + _short(b"a") + _argument(draw) + b"ub"


def _extension(draw: random.Random, module: bytes, name: bytes) -> bytes:  # noqa: ARG001  # one signature for all
    code = draw.choice((b"\x82\x07", b"\x83\x07\x01", b"\x84\x07\x00\x01\x00"))
    return code + b")" + b"R"


def _returned(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _reduce(draw, module, name) + b")" + b"R"


def _as_item(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return b"](" + _reduce(draw, module, name) + b"e"


def _as_key(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return b"}(" + _reduce(draw, module, name) + b"K\x01u"


def _only_named(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _named(draw, module, name)


def _thrown_away(draw: random.Random, module: bytes, name: bytes) -> bytes:
    return _reduce(draw, module, name) + b"0" + b"}"


ROUTES: tuple[Route, ...] = (
    _reduce,
    _inst,
    _obj,
    _newobj,
    _newobj_ex,
    _build,
    _extension,
    _returned,
    _as_item,
    _as_key,
    _only_named,
    _thrown_away,
)


def _around(draw: random.Random, body: bytes) -> bytes:
    """Put a stream around the opcodes: a protocol, perhaps frames, perhaps a benign stream or junk before."""
    protocol = draw.randrange(6)
    stream = body + b"."
    if protocol >= 4 and draw.random() < 0.6:
        stream = b"\x95" + struct.pack("<Q", len(stream)) + stream
    if protocol >= 2 and draw.random() < 0.9:
        stream = b"\x80" + bytes([protocol]) + stream
    kind = draw.random()
    if kind < 0.1:
        stream = pickle.dumps({"a": [1, 2]}, protocol=draw.randrange(6)) + stream
    elif kind < 0.2:
        stream = stream[:-1] + draw.choice((b"", b"\xff\xff.", b"X\xff\xff\xff\xff", b"0000", b"\x00"))
    return stream


def hostile(draw: random.Random) -> bytes:
    """One pickle that an unpickler must not be given."""
    module, _, name = draw.choice(DANGEROUS).partition(" ")
    route = draw.choice(ROUTES)
    return _around(draw, route(draw, module.encode(), name.encode()))


def generate(count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` hostile pickles."""
    for number in range(count):
        yield hostile(random.Random(f"{seed}-{number}"))  # noqa: S311  # reproducible, not secret
