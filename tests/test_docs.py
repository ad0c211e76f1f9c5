"""What the documents say is true: every Python block runs, offline, as it stands on the page.

The blocks of a page share one namespace and run in order, against simulated services at the addresses that the
documented environment variables name. A comment before a block may say more:

    <!-- prints -->                 the block shows exactly what the Python block before it printed
    <!-- pytest -->                 the block is a test module, and is run by pytest
    <!-- not run: the reason -->    the block is not run
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import glmclient
from glmclient import Finish, ReasoningDelta, ToolCallDelta
from glmclient.simulator import SimulatedRequest, Simulator

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts),
]
MAY_STAND_STILL = 6
"""Blocks in all the documents that need not run."""

# What readers put the address of their own server for; the simulator stands in.
ELSEWHERE = re.compile(r"http://(?:localhost|127\.0\.0\.1):(?:8000|30000|11434)(?:/v1)?")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, the first line of it, and what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    remark: str

    def __str__(self) -> str:
        return f"{shown(self.page)}:{self.line}"


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    found = []
    remark = ""
    for token in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            match = re.fullmatch(r"<!--\s*(.*?)\s*-->\s*", token.content, re.DOTALL)
            remark = match.group(1) if match else ""
        elif token.type == "fence":
            assert token.map is not None
            language = token.info.split()[0] if token.info.strip() else ""
            found.append(Block(page, token.map[0] + 2, language, token.content, remark))
            remark = ""
        elif token.level == 0:
            remark = ""
    return found


ALL = [block for page in PAGES for block in blocks(page)]


# -- the services of the documents -----------------------------------------------------------------


def answer(request: SimulatedRequest) -> list[Any]:
    """Say what suits the question: a tool call to who offers tools, JSON to who asks for it, else a sentence."""
    asked = request.json or {}
    messages = asked.get("messages") or [{}]
    if asked.get("tools") and messages[-1].get("role") == "user":
        function = asked["tools"][0]["function"]
        named = function.get("parameters", {}).get("properties", {})
        arguments = "{" + ", ".join(f'"{name}": "Hangzhou"' for name in named) + "}"
        return [ToolCallDelta(0, "call_1", function["name"], arguments), Finish("tool_calls")]
    if (asked.get("response_format") or {}).get("type") == "json_object":
        return ['{"answer": 42}']
    if (asked.get("thinking") or {}).get("type") == "enabled":
        return [ReasoningDelta("A greeting."), "你好！ I am a simulated service."]
    return ["你好！ I am a simulated service."]


@pytest.fixture(scope="module")
def services() -> Iterator[Simulator]:
    with Simulator(answer, provider="all") as simulator:
        yield simulator


@pytest.fixture
def environment(
    services: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """Make the documented variables name the simulator, and give each page a folder of its own."""
    addresses = {
        "GLMCLIENT_CHATGLM_BASE_URL": "chatglm",
        "GLMCLIENT_QWEN_BASE_URL": "qwen",
        "ZAI_BASE_URL": "zai",
        "ZHIPUAI_BASE_URL": "bigmodel",
    }
    known = {name: services.url_of(provider) for name, provider in addresses.items()}
    known |= {"ZAI_API_KEY": "documents.key", "ZHIPUAI_API_KEY": "documents.key"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return known


# -- running a page --------------------------------------------------------------------------------


class Runner:
    """Runs the Python blocks of a page in one namespace, and what awaits in one event loop."""

    def __init__(self, elsewhere: str) -> None:
        self.namespace: dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""
        self._elsewhere = elsewhere
        self._loop = asyncio.new_event_loop()

    def run(self, block: Block) -> None:
        # Blank lines in front make a traceback point to the line of the page.
        source = "\n" * (block.line - 1) + ELSEWHERE.sub(self._elsewhere, block.text)
        code = compile(
            source, str(block.page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        out = io.StringIO()
        with redirect_stdout(out):
            result = eval(code, self.namespace)
            if inspect.isawaitable(result):
                self._loop.run_until_complete(result)
        self.printed = out.getvalue()

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@pytest.fixture
def runner(services: Simulator) -> Iterator[Runner]:
    made = Runner(services.url_of("openai"))
    yield made
    made.close()


def stands_still(block: Block) -> bool:
    return block.remark.startswith("not run:")


def runs_elsewhere(page: Path) -> bool:
    """Return whether a page is run by tests/integrations, beside the library that it is about."""
    return page.parent.name == "integrations"


def test_each_page_about_an_integration_is_run_there() -> None:
    folders = ROOT / "tests" / "integrations"
    for page in filter(runs_elsewhere, PAGES):
        tests = [
            path.read_text(encoding="utf-8") for path in (folders / page.stem).glob("test_*.py")
        ]
        assert any(page.name in test for test in tests), (
            f"no test in {folders / page.stem} runs {page.name}"
        )


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if any(b.language == "python" for b in blocks(page)) and not runs_elsewhere(page)
    ],
    ids=shown,
)
def test_the_code_of_a_page_runs(
    page: Path, environment: dict[str, str], runner: Runner, tmp_path: Path
) -> None:
    ran = 0
    for block in blocks(page):
        if block.remark == "prints":
            assert runner.printed.strip() == block.text.strip(), str(block)
        if block.language != "python" or stands_still(block):
            continue
        ran += 1
        if block.remark == "pytest":
            assert_tests_pass(block, environment, tmp_path)
        else:
            runner.run(block)
    assert ran or all(stands_still(b) for b in blocks(page) if b.language == "python")


def assert_tests_pass(block: Block, environment: dict[str, str], folder: Path) -> None:
    """Run the block as a user's test module, in a process of its own."""
    module = folder / f"test_line_{block.line}.py"
    module.write_text(block.text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, module],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{block}\n{run.stdout}{run.stderr}"


def test_few_blocks_stand_still_and_each_says_why() -> None:
    still = [block for block in ALL if block.language == "python" and stands_still(block)]
    assert len(still) <= MAY_STAND_STILL, [str(block) for block in still]
    for block in still:
        assert len(block.remark.removeprefix("not run:").split()) >= 3, f"{block} gives no reason"


def test_every_block_says_what_it_is() -> None:
    known = {"python", "sh", "console", "text", "json", "toml", "ini", "yaml", "html", "javascript"}
    assert [
        f"{block}: {block.language}"
        for block in ALL
        if block.language not in known
        and not block.language.startswith("{")
        # The wire pages quote bytes.
        and not (block.language == "" and block.page.parent.name == "wire")
    ] == []


# -- shell -----------------------------------------------------------------------------------------

OTHERS = {
    "llm",
    "cat",
    "cd",
    "curl",
    "echo",
    "export",
    "git",
    "jq",
    "ollama",
    "vllm",
    "uv",
    "source",
}


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the commands of a shell block as lists of words; in a console, those behind the prompt."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        for part in re.split(r"\s(?:\||&&|;)\s", line):
            words = shlex.split(part, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


def make_targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))


def extras() -> set[str]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return set(setup["options.extras_require"])


def cli_commands() -> set[str]:
    run = subprocess.run(
        [sys.executable, "-m", "glmclient", "--help"], capture_output=True, text=True, check=True
    )
    listed = run.stdout.partition("Commands:")[2]
    return set(re.findall(r"^\s+([a-z][a-z-]*)", listed, re.MULTILINE))


def shell_blocks() -> list[tuple[Block, list[str]]]:
    return [
        (block, words)
        for block in ALL
        if block.language in ("sh", "console")
        for words in commands(block)
    ]


def test_the_commands_of_the_documents_exist() -> None:
    targets, offered, cli = make_targets(), extras(), cli_commands()
    assert {"demo", "test", "check", "docs"} <= targets
    assert {"ask", "demo", "simulate"} <= cli
    checked = 0
    for block, words in shell_blocks():
        program, *arguments = words
        if program in ("python", "python3") and arguments[:2] == ["-m", "glmclient"]:
            program, arguments = "glmclient", arguments[2:]
        elif program in ("python", "python3") and arguments[:2] == ["-m", "pip"]:
            program, arguments = "pip", arguments[2:]
        if program == "make":
            wanted = {word for word in arguments if "=" not in word}
            assert wanted <= targets, f"{block}: make {wanted - targets}"
        elif program == "glmclient":
            # A single lower-case word is a command; a question is quoted and has more in it.
            if arguments and re.fullmatch(r"[a-z]+", arguments[0]):
                assert arguments[0] in cli, f"{block}: glmclient {arguments[0]}"
        elif program == "pip":
            for extra in re.findall(r"\[([\w,-]+)\]", " ".join(arguments)):
                assert set(extra.split(",")) <= offered, f"{block}: the extra {extra}"
        else:
            assert program in {*OTHERS, "python", "pytest"}, f"{block}: {program}"
        checked += 1
    assert checked >= 2


# -- the pages themselves --------------------------------------------------------------------------


def test_the_readmes_lead_somewhere() -> None:
    for page in ROOT.glob("README*.md"):
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        assert links
        for link in links:
            assert "://" in link or (page.parent / link).exists(), f"{shown(page)}: {link}"


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = (
        [
            re.sub(r"#.*|\".*?\"", "", block.text)
            for block in blocks(ROOT / name)
            if block.language == "python"
        ]
        for name in ("README.md", "README.zh.md")
    )
    assert english
    assert english == chinese


def test_the_reference_names_everything_that_is_public() -> None:
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\.\. auto\w+:: glmclient\.(\w+)$", reference, re.MULTILINE))
    assert named == set(glmclient.__all__) - {"__version__"}


def test_the_changelog_knows_this_version() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {glmclient.__version__}\n" in changes
