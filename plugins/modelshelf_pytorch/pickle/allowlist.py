"""The globals that a checkpoint may name: torch's table for ``weights_only`` (``_weights_only_unpickler``).

It is that of torch 2.13, repeated so that torch need not be installed; a test compares the two.
"""

from __future__ import annotations

# Pure tables of Python's own renames (``__builtin__`` is ``builtins``), the same that torch uses.
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

ITEM_BYTES: dict[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32", "C32", "QINT32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16", "BITS16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "QINT8", "QUINT8", "QUINT4X2", "QUINT2X4"), 1),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4"), 1),
    **dict.fromkeys(("BITS8", "BITS1X8", "BITS2X4", "BITS4X2"), 1),
    **dict.fromkeys((f"{sign}{bits}" for sign in "IU" for bits in range(1, 8)), 1),
    "C128": 16,
}
"""Bytes of one element in a storage, by the element type's name: that of safetensors where it has one
(``F4`` packs two values into its byte)."""

ELEMENTS_PER_ITEM: dict[str, int] = {"QUINT4X2": 2, "QUINT2X4": 4}
"""Elements of a tensor in one element of its storage, by element type, where they are more than one."""

DTYPES: dict[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float4_e2m1fn_x2": "F4",
    "complex128": "C128",
    "complex64": "C64",
    "complex32": "C32",
    "bool": "BOOL",
    **{f"{word}{bits}": f"{word[0].upper()}{bits}" for word in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"{word}{bits}": f"{word[0].upper()}{bits}" for word in ("int", "uint") for bits in range(1, 8)},
    **{name: name.upper() for name in ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")},
    **{name: name.upper() for name in ("bits8", "bits16", "bits1x8", "bits2x4", "bits4x2")},
}
"""Element types by the attribute names of torch's dtypes."""

FLOATING = frozenset(
    {"F64", "F32", "F16", "BF16", "C128", "C64", "C32"}
    | {name for name in ITEM_BYTES if name.startswith("F8")}
    | {"F4"}
)
"""Element types whose tensors may require gradients."""

_STORAGE_TYPES = {
    "Double": "F64",
    "Float": "F32",
    "Half": "F16",
    "Long": "I64",
    "Int": "I32",
    "Short": "I16",
    "Char": "I8",
    "Byte": "U8",
    "Bool": "BOOL",
    "BFloat16": "BF16",
    "ComplexDouble": "C128",
    "ComplexFloat": "C64",
}
_QUANTIZED_STORAGE_TYPES = {
    "QInt8": "QINT8",
    "QInt32": "QINT32",
    "QUInt8": "QUINT8",
    "QUInt4x2": "QUINT4X2",
    "QUInt2x4": "QUINT2X4",
}
_TENSOR_TYPES = ("Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "BFloat16")

STORAGES: dict[tuple[str, str], str] = {
    **{
        (module, f"{word}Storage"): dtype
        for module in ("torch", "torch.cuda")
        for word, dtype in _STORAGE_TYPES.items()
    },
    **{("torch", f"{word}Storage"): dtype for word, dtype in _QUANTIZED_STORAGE_TYPES.items()},
    ("torch.storage", "UntypedStorage"): "U8",
}
"""Storage classes by module and name, with their element types."""

TENSOR_CLASSES: frozenset[tuple[str, str]] = frozenset(
    {
        (module, f"{word}Tensor")
        for module in ("torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse")
        for word in _TENSOR_TYPES
    }
    | {("torch", "BoolTensor"), ("torch.cuda", "BoolTensor"), ("torch", "Tensor")}
)

QSCHEMES: frozenset[tuple[str, str]] = frozenset(
    ("torch", name)
    for name in (
        "per_tensor_affine",
        "per_tensor_symmetric",
        "per_channel_affine",
        "per_channel_symmetric",
        "per_channel_affine_float_qparams",
    )
)

REBUILDERS: frozenset[tuple[str, str]] = frozenset(
    ("torch._utils", f"_rebuild_{name}")
    for name in (
        "parameter",
        "parameter_with_state",
        "qtensor",
        "tensor",
        "tensor_v2",
        "tensor_v3",
        "sparse_tensor",
        "meta_tensor_no_storage",
        "nested_tensor",
        "wrapper_subclass",
        "device_tensor_from_numpy",
        "device_tensor_from_cpu_tensor",
    )
) | {("torch._tensor", "_rebuild_from_type_v2")}

JAGGED: tuple[tuple[str, str], tuple[str, str]] = (
    ("torch.nested._internal.nested_tensor", "_rebuild_njt"),
    ("torch.nested._internal.nested_tensor", "NestedTensor"),
)
"""What ``import torch`` itself registers as safe: the rebuild function and the class of jagged tensors."""

_OTHERS = frozenset(
    {
        ("collections", "OrderedDict"),
        ("collections", "Counter"),
        ("torch.nn.parameter", "Parameter"),
        ("torch.serialization", "_get_layout"),
        ("torch", "Size"),
        ("torch", "device"),
        ("_codecs", "encode"),
        ("builtins", "bytearray"),
        ("builtins", "set"),
        ("builtins", "complex"),
        ("torch.storage", "TypedStorage"),
    }
)

ALLOWED: frozenset[tuple[str, str]] = (
    _OTHERS
    | REBUILDERS
    | frozenset(JAGGED)
    | TENSOR_CLASSES
    | QSCHEMES
    | frozenset(STORAGES)
    | frozenset(("torch", name) for name in DTYPES)
)
"""Every (module, name) that ``weights_only`` loading accepts."""

CLASSES: frozenset[tuple[str, str]] = TENSOR_CLASSES | {
    ("collections", "OrderedDict"),
    ("collections", "Counter"),
    ("torch.nn.parameter", "Parameter"),
    ("torch", "Size"),
    ("builtins", "set"),
}
"""Allowed globals that NEWOBJ may make an instance of."""

DATA_TYPES: frozenset[tuple[str, str]] = frozenset({("builtins", "bytes"), ("builtins", "frozenset")})
"""What the pickler names for data in protocols below 4; torch refuses it, and it runs nothing."""

NUMPY: frozenset[tuple[str, str]] = frozenset(
    {(f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")}
    | {(f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")}
    | {("numpy", "ndarray"), ("numpy", "dtype")}
    | {
        ("numpy.dtypes", f"{word}DType")
        for word in ("Bool", "Float16", "Float32", "Float64", "LongDouble", "Complex64", "Complex128")
    }
    | {("numpy.dtypes", f"{sign}Int{bits}DType") for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
"""numpy's reconstruct functions and dtypes: they build arrays and run nothing, but torch refuses them."""

TORCHSCRIPT: frozenset[tuple[str, str]] = frozenset(
    ("torch.jit._pickle", name)
    for name in (
        "build_intlist",
        "build_tensorlist",
        "build_doublelist",
        "build_boollist",
        "build_tensor_from_id",
        "restore_type_tag",
    )
)
"""What TorchScript's C++ pickler names besides the classes that the archive itself defines."""

_CODE_MODULES = frozenset(
    [
        "__builtin__",
        "_aix_support",
        "_osx_support",
        "_posixsubprocess",
        "_pyrepl",
        "aiohttp",
        "asyncio",
        "atexit",
        "bdb",
        "builtins",
        "cffi",
        "cloudpickle",
        "code",
        "codeop",
        "commands",
        "concurrent",
        "copyreg",
        "cProfile",
        "ctypes",
        "dill",
        "distutils",
        "doctest",
        "ensurepip",
        "faulthandler",
        "ftplib",
        "functools",
        "http",
        "httplib",
        "idlelib",
        "imaplib",
        "importlib",
        "inspect",
        "io",
        "joblib",
        "lib2to3",
        "linecache",
        "logging",
        "mailcap",
        "marshal",
        "mmap",
        "multiprocessing",
        "nt",
        "ntpath",
        "numba",
        "operator",
        "os",
        "pathlib",
        "pdb",
        "pickle",
        "_pickle",
        "pickletools",
        "pip",
        "pkgutil",
        "platform",
        "poplib",
        "popen2",
        "posix",
        "posixpath",
        "profile",
        "pty",
        "py_compile",
        "pydoc",
        "requests",
        "runpy",
        "shelve",
        "shutil",
        "signal",
        "site",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "subprocess",
        "sys",
        "sysconfig",
        "tempfile",
        "telnetlib",
        "test",
        "threading",
        "timeit",
        "trace",
        "tty",
        "types",
        "urllib",
        "urllib2",
        "uuid",
        "venv",
        "webbrowser",
        "xmlrpc",
        "zipapp",
        "zipimport",
    ]
)


def python3_name(module: str, name: str) -> tuple[str, str]:
    """Return the Python 3 name of a global that a stream may name as Python 2 does."""
    renamed = NAME_MAPPING.get((module, name))
    if renamed is not None:
        return renamed
    return IMPORT_MAPPING.get(module, module), name


def runs_code(module: str) -> bool:
    """Return whether a module is known to run, load or reach code, processes, files or the network.

    The verdict never depends on it (whatever is not allowed is refused); it only separates an attack from
    a class that some training script pickled, where a companion file is judged.
    """
    return module.partition(".")[0] in _CODE_MODULES
