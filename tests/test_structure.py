"""The rules of the structure, read from the source itself and from what a fresh interpreter really loads."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import glmclient

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "glmclient"

PURE = ("core", "providers")
IO_LIBRARIES = {
    *("aiohttp", "anyio", "httpcore", "httpx", "requests", "socks", "trio"),
    "urllib3",
    *("asyncio", "http", "multiprocessing", "select", "selectors", "signal", "socket", "ssl"),
    *("subprocess", "threading", "urllib.request"),
}
USERS_OF_LIBRARIES = {
    "requests": {"transports/requests/transport.py", "transports/requests/unfinished.py"},
    "urllib3": {
        "transports/requests/transport.py",
        "transports/requests/connections.py",
        "transports/requests/unfinished.py",
    },
    "httpx": {
        "transports/httpx/transport.py",
        "transports/httpx/channel.py",
        "transports/httpx/lingering.py",
        "transports/aiohttp.py",
    },
    "h11": {"transports/httpx/joined_events.py"},
    "aiohttp": {"transports/aiohttp.py"},
}
# What `import glmclient` must leave alone.
LAZY = {
    *(
        "aiohttp",
        "anyio",
        "asyncio",
        "click",
        "h11",
        "httpx",
        "IPython",
        "msgspec",
        "prompt_toolkit",
    ),
    *("pydantic", "requests", "rich", "ssl", "starlette", "trio", "urllib3", "uvicorn"),
}

# A package imports its own layer and those below. A name that is missing here is an error of this table.
LAYERS = {
    **dict.fromkeys(
        (
            "_exhaustive",
            "_version",
            "_visible",
            "private_file",
            "closing",
            "events",
            "json_text",
            "reply",
            "errors",
            "messages",
        ),
        0,
    ),
    "core": 1,
    **dict.fromkeys(("providers", "options"), 2),
    **dict.fromkeys(("transports", "cassette"), 3),
    **dict.fromkeys(("configuration", "content", "routes", "signatures", "streams"), 4),
    **dict.fromkeys(("clients", "conversations"), 5),
    "simulator": 6,
    **dict.fromkeys(
        (
            *("__main__", "batch", "cli", "demo", "gateway", "integrations", "notebook", "runs"),
            *("schemas", "testing"),
        ),
        8,
    ),
}
SERVER_LAYER = 7
"""The server half of a dialect: it is written with the simulator's values."""
# Imported inside the methods that need them, or for annotations only.
REACHED_LAZILY = {
    "clients": ("glmclient.batch", "glmclient.schemas", "glmclient.runs"),
    "conversations": ("glmclient.runs",),
}

# What both halves of a dialect import: facts, and nothing that reads or writes.
SHARED_BY_HALVES = {"wire", "codes"}
# The server's half of a dialect. The simulator loads it; the client's half never does.
SERVER_HALF = {"simulated", "encoder", "frames", "simulated_apps", "simulated_refusals"}

VAGUE = re.compile(r"_?(utils?|helpers?|misc|common|tools?|stuff|base_utils|lib)")
LONGEST = 600

# Each pattern is written so that it does not find itself.
FORBIDDEN = {
    "unfinished work": r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b|Not[I]mplementedError",
    "hidden from coverage": r"pragma: no[ ]cover",
    "a path outside the project": r"\.\./[s]hared|/wor[k]/|/roo[t]/|\bAPI\.[m]d\b|ARCHITECTURE\.[m]d",
    "a package registry": r"py[p]i\.org|python[h]osted|npm[j]s|deb\.[d]ebian",
    "a ticket": r"(?i)\b[i]ssue #?\d",
}
TEXT = {".py", ".md", ".cfg", ".toml", ".in", ".svg", ".rst", ".txt", ".sh", ".ipynb", ""}
WRITTEN = ("glmclient", "tests", "docs", "examples", "benchmarks", "scripts", ".ci")


@dataclass(frozen=True)
class Import:
    """One import statement: the module that is asked for, absolute, and where."""

    target: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"glmclient/{self.file}:{self.line} imports {self.target}"

    @property
    def library(self) -> str:
        return self.target.partition(".")[0]


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the parsed files of the package, or of some of its packages, by their paths in it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if not packages or name.partition("/")[0] in packages:
            yield name, parsed(path)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(name: str, tree: ast.Module) -> Iterator[Import]:
    here = ["glmclient", *Path(name).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # `from . import x` asks for a module, `from .x import y` for what is in it.
                yield Import(module if node.module else f"{module}.{alias.name}", name, node.lineno)


def all_imports(*packages: str) -> list[Import]:
    return [found for name, tree in sources(*packages) for found in imports(name, tree)]


def is_server_half(parts: list[str]) -> bool:
    """Return whether a module is part of the server's half of a dialect."""
    return parts[0] == "providers" and len(parts) > 2 and parts[2] in SERVER_HALF


def pure_sources(*more: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the files that decide: the core and the client's half of each dialect, and ``more``."""
    for name, tree in sources(*PURE, *more):
        if not is_server_half(name.removesuffix(".py").split("/")):
            yield name, tree


def layer(module: str) -> int:
    """Return the layer of a module, named as in ``glmclient.core.sse`` or ``core/sse.py``."""
    parts = module.removeprefix("glmclient.").removesuffix(".py").replace("/", ".").split(".")
    return SERVER_LAYER if is_server_half(parts) else LAYERS[parts[0]]


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


# -- who may import whom ---------------------------------------------------------------------------


def test_what_decides_does_no_io() -> None:
    found = [each for name, tree in pure_sources() for each in imports(name, tree)]
    assert found
    assert [
        str(each) for each in found if each.library in IO_LIBRARIES or each.target in IO_LIBRARIES
    ] == []


def test_each_library_has_its_users() -> None:
    found = all_imports()
    assert [
        str(each)
        for each in found
        if each.library in USERS_OF_LIBRARIES and each.file not in USERS_OF_LIBRARIES[each.library]
    ] == []
    opened = {each.library: each.file for each in found if each.library in USERS_OF_LIBRARIES}
    assert opened.keys() >= {"requests", "urllib3", "httpx"}


def test_imports_go_down_only() -> None:
    inside = [
        each
        for each in all_imports()
        if each.library == "glmclient" and each.target != "glmclient" and each.file != "__init__.py"
    ]
    assert len(inside) > 50
    assert [
        str(each)
        for each in inside
        if layer(each.target) > layer(each.file)
        and not each.target.startswith(REACHED_LAZILY.get(each.file.partition("/")[0], "-"))
    ] == []


def test_the_clients_do_not_know_each_other() -> None:
    found = all_imports()
    kinds = [
        (f"{one}_{what}", f"{other}_{also}")
        for one, other in [("sync", "async"), ("async", "sync")]
        for what in ("client", "stream")
        for also in ("client", "stream")
    ]
    for one, other in kinds:
        assert [
            str(each)
            for each in found
            if each.file == f"{one.partition('_')[2]}s/{one}.py"
            and each.target == f"glmclient.{other.partition('_')[2]}s.{other}"
        ] == []
    for transport, other in [("requests", "httpx"), ("httpx", "requests")]:
        assert [
            str(each)
            for each in found
            if each.file.startswith(f"transports/{transport}/")
            and each.target.startswith(f"glmclient.transports.{other}")
        ] == []


def test_every_package_has_a_layer() -> None:
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert names - {"__init__", "__pycache__"} <= LAYERS.keys()


def dialect_imports() -> Iterator[tuple[Import, list[str], list[str]]]:
    """Yield what dialect packages import of dialect packages, with the parts of both names."""
    for each in all_imports("providers"):
        file = each.file.removesuffix(".py").split("/")
        target = each.target.split(".")[1:]
        if len(file) > 2 and target[:1] == ["providers"] and len(target) > 2:
            yield each, file, target


def test_the_halves_of_a_dialect_share_facts_only() -> None:
    found = list(dialect_imports())
    assert len(found) > 20
    assert [
        str(each)
        for each, file, target in found
        if is_server_half(file) != is_server_half(target) and target[2] not in SHARED_BY_HALVES
    ] == []
    assert [
        str(each)
        for each, file, target in found
        if file[2] in SHARED_BY_HALVES and target[2] not in SHARED_BY_HALVES
    ] == []


def test_dialects_do_not_know_each_other() -> None:
    assert [str(each) for each, file, target in dialect_imports() if file[1] != target[1]] == []


@pytest.mark.parametrize("dialect", ["chatglm", "chat_completions"])
def test_both_halves_of_a_dialect_read_the_same_facts(dialect: str) -> None:
    users = {
        is_server_half(file)
        for _, file, target in dialect_imports()
        if file[1] == dialect and target[2] == "wire"
    }
    assert users == {False, True}


def test_no_module_has_the_name_of_an_exported_function() -> None:
    functions = {
        name for name in glmclient.__all__ if callable(getattr(glmclient, name)) and name.islower()
    }
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert modules & functions == set(), "importing the module would replace the function"


# The format of OpenAI's batch files has the word of a service; it is no service there.
FORMATS_OF_FILES = ("batch/", "cli/commands/batch.py", "clients/")


def test_only_the_table_names_services() -> None:
    from glmclient.providers import BUILT_IN

    assert [
        f"glmclient/{name}:{node.lineno} names {node.value!r}"
        for name, tree in sources()
        if not name.startswith(("providers/", *FORMATS_OF_FILES))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in BUILT_IN
    ] == []
    # `__init__` lists the exported names, `options` joins the options that the dialects describe.
    free = ("providers/", "__init__.py", "options.py")
    assert [
        str(each)
        for each in all_imports()
        if each.target.startswith("glmclient.providers.")
        and not each.target.startswith("glmclient.providers.base")
        and not each.file.startswith(free)
    ] == []


def loaded_by(code: str) -> set[str]:
    """Return the modules that ``code`` loads in a fresh interpreter, beyond what a bare one holds."""
    report = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    # A measured or instrumented interpreter loads modules of its own.
    environment = {key: value for key, value in os.environ.items() if "COV" not in key}
    held = []
    for program in (f"{code}\n{report}", report):
        run = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        held.append(set(json.loads(run.stdout)))
    return held[0] - held[1]


def libraries(modules: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_package_loads_no_library() -> None:
    loaded = loaded_by("import glmclient")
    assert "glmclient" in loaded
    assert libraries(loaded) & LAZY == set()
    assert {name for name in loaded if name.startswith("glmclient.providers")} == set()


def test_a_client_loads_no_server_half() -> None:
    loaded = loaded_by("from glmclient import SyncClient, AsyncClient; SyncClient(); AsyncClient()")
    modules = {name.removeprefix("glmclient.") for name in loaded if name.startswith("glmclient.")}
    assert "providers.chatglm.provider" in modules
    assert {
        name
        for name in modules
        if is_server_half(name.split(".")) or layer(name) >= LAYERS["simulator"]
    } == set()


def test_values_and_what_decides_load_no_library() -> None:
    names = [
        f"glmclient.{name.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}"
        for name, _ in pure_sources("events.py", "errors.py", "messages.py", "options.py")
    ]
    loaded = loaded_by(f"import {', '.join(names)}")
    assert loaded >= set(names)
    assert libraries(loaded) & LAZY == set()


@pytest.mark.parametrize(
    ("code", "without"),
    [
        ("from glmclient import SyncClient", {"httpx", "anyio", "asyncio", "trio", "aiohttp"}),
        ("from glmclient import SyncClient; SyncClient()", {"httpx", "anyio", "asyncio", "rich"}),
        ("from glmclient import AsyncClient", {"requests", "urllib3", "rich", "click"}),
        ("import glmclient.testing", LAZY),
        ("import glmclient.cli", LAZY - {"click"}),
    ],
)
def test_who_uses_one_half_does_not_load_the_other(code: str, without: set[str]) -> None:
    loaded = loaded_by(code)
    assert "glmclient" in loaded
    assert libraries(loaded) & without == set()


def test_the_plugin_for_pytest_costs_nothing_until_it_is_used() -> None:
    loaded = loaded_by("import pytest, glmclient.testing.plugin")
    assert "glmclient.testing.plugin" in loaded
    assert {name for name in loaded if name.startswith("glmclient.")} <= {
        "glmclient._version",
        "glmclient.testing",
        "glmclient.testing.plugin",
    }


# -- what the packages that decide may call -----------------------------------------------------------

_CLOCKS = r"(time\.)?(sleep|time|monotonic|perf_counter)(_ns)?|(datetime\.)*(now|utcnow|today)"
_CHANCE = (
    r"random\.(random|randint|randrange|choices?|sample|shuffle|uniform|getrandbits|randbytes|seed)"
    r"|os\.urandom|secrets\.\w+|uuid\.uuid[14]"
)
_OUTSIDE = r"os\.(getenv|environ\..+|open|system)|open|input|print|.*\.(read_text|write_text)"
IMPURE = re.compile(f"{_CLOCKS}|{_CHANCE}|{_OUTSIDE}")


def test_clocks_and_chance_are_handed_in() -> None:
    assert [
        f"glmclient/{name}:{line} calls {function}"
        for name, tree in pure_sources("events.py", "errors.py", "messages.py")
        for function, line in calls(tree)
        # `exchange.now()` and the like are the clocks that were handed in.
        if IMPURE.fullmatch(function) and not function.startswith(("self.", "exchange."))
    ] == []


def test_the_environment_is_read_in_one_place() -> None:
    allowed = {"configuration.py", "routes.py"}
    assert [
        f"glmclient/{name}:{node.lineno}"
        for name, tree in sources()
        if name not in allowed and not name.startswith(("cli/",))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    ] == []


# -- shape -----------------------------------------------------------------------------------------


def test_files_are_of_one_purpose() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for folder in ("glmclient", "examples", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_names_say_what_is_inside() -> None:
    assert [
        path.relative_to(ROOT).as_posix()
        for folder in WRITTEN
        for path in (ROOT / folder).rglob("*")
        if (path.suffix == ".py" or path.is_dir()) and VAGUE.fullmatch(path.stem)
    ] == []


def test_no_error_is_swallowed_whole() -> None:
    def swallows(handler: ast.ExceptHandler) -> bool:
        broad = handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException")
        return broad and all(isinstance(each, (ast.Pass, ast.Continue)) for each in handler.body)

    assert [
        f"glmclient/{name}:{node.lineno}"
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ] == []


def written_files() -> Iterator[Path]:
    made = {"_build", "__pycache__", "results"}
    for folder in WRITTEN:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in TEXT and not made.intersection(path.parts):
                yield path
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and path.suffix in TEXT)


def test_the_project_speaks_of_itself_alone() -> None:
    patterns = {what: re.compile(pattern) for what, pattern in FORBIDDEN.items()}
    found = []
    for path in written_files():
        if path.name.startswith((".coverage", ".git")) and path.name != ".gitignore":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found += [
                f"{path.relative_to(ROOT).as_posix()}:{number}: {what}: {match.group()}"
                for what, pattern in patterns.items()
                if (match := pattern.search(line))
            ]
    assert found == []


def test_every_test_asserts() -> None:
    def asserts(test: ast.AST) -> bool:
        names = {
            node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            for node in ast.walk(test)
        }
        return any(isinstance(node, ast.Assert) for node in ast.walk(test)) or any(
            name in ("raises", "warns", "fail") or name.startswith(("assert", "check", "expect"))
            for name in names
        )

    tests = [
        (path, node)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.name.startswith("test_")
    ]
    assert len(tests) > 50
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path, node in tests
        if not asserts(node)
    ] == []


# -- what is public --------------------------------------------------------------------------------

CONTRACT = {
    *("SyncClient", "AsyncClient", "Stream", "AsyncStream"),
    *("TextDelta", "ReasoningDelta", "TextReplace", "ToolCallDelta", "Finish", "Unknown"),
    *("Usage", "Reply", "Timeout", "RetryPolicy"),
    *("GLMError", "ConfigurationError", "APIConnectionError", "APITimeoutError", "APIStatusError"),
    *("BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError"),
    *("RateLimitError", "QuotaExceededError", "ServiceBlockedError", "ServerError"),
    *("ProtocolError", "LimitExceeded", "StreamInterrupted", "StreamMisuse"),
}


def test_the_contract_is_exported() -> None:
    assert set(glmclient.__all__) >= CONTRACT
    assert glmclient.__all__ == sorted(set(glmclient.__all__))


def test_what_is_exported_is_what_is_public() -> None:
    for name in glmclient.__all__:
        assert getattr(glmclient, name) is not None, name
    public = {
        name
        for name, value in vars(glmclient).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and name not in ("annotations", "TYPE_CHECKING")
    }
    assert public == set(glmclient.__all__) - {"__version__"}
    assert set(dir(glmclient)) >= set(glmclient.__all__)


def test_checkers_and_the_interpreter_see_the_same_names() -> None:
    tree = parsed(PACKAGE / "__init__.py")
    seen = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert seen == set(glmclient.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Client'"):
        glmclient.Client  # type: ignore[attr-defined]  # noqa: B018 - asked for its error


def test_every_module_exports_only_what_it_has() -> None:
    checked = 0
    for name, tree in sources():
        bound = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for alias in node.names
        }
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                bound.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                bound.update(each.id for each in targets if isinstance(each, ast.Name))
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                checked += 1
                assert set(ast.literal_eval(node.value)) <= bound, name
    assert checked > 15


def test_what_is_public_is_described() -> None:
    members = [
        (name, attribute, member)
        for name in glmclient.__all__
        if isinstance(value := getattr(glmclient, name), type)
        for owner in value.__mro__
        if owner.__module__.partition(".")[0] == "glmclient"
        for attribute, member in [("", owner), *vars(owner).items()]
        if not attribute.startswith("_")
    ]
    assert len(members) > 100
    assert [
        f"{name}.{attribute}".rstrip(".")
        for name, attribute, member in members
        if (callable(member) or isinstance(member, (property, classmethod, staticmethod)))
        and not member.__doc__
    ] == []


def test_no_public_signature_names_a_type_of_a_library() -> None:
    hidden = re.compile(r"\b(requests|urllib3|httpx|anyio|trio)\.")
    found = []
    for name in glmclient.__all__:
        value = getattr(glmclient, name)
        if isinstance(value, type):
            for attribute, member in vars(value).items():
                notes = getattr(member, "__annotations__", {})
                found += [
                    f"{name}.{attribute}: {note}"
                    for note in notes.values()
                    if hidden.search(str(note))
                ]
    assert found == []
