"""What the documentation page says of the platform is what the code does."""

from __future__ import annotations

import re
from types import ModuleType

import openai
import pytest
import zai.core._errors

import glmclient
from glmclient.providers.chat_completions.answer import FINISH_REASONS
from glmclient.providers.chat_completions.parameters import OPENAI, PLATFORM
from glmclient.providers.chat_completions.provider import BigModel, OpenAICompatible, Zai

from .code_table import PAGE, table, written

TEXT = PAGE.read_text("utf-8")


def test_the_table_of_codes_is_the_codes() -> None:
    assert table() in TEXT
    assert written(TEXT) == TEXT, "python -m tests.providers.chat_completions.code_table writes it"


def test_the_page_names_addresses_variables_and_default() -> None:
    for door in (Zai, BigModel):
        assert door.default_url in TEXT and door.key_variable in TEXT
        assert f"`{door.default_model}`" in TEXT
    assert f'`"{OpenAICompatible.name}"`' in TEXT
    assert Zai.coding_url in TEXT


def test_the_page_names_the_reasons() -> None:
    for raw, reason in FINISH_REASONS.items():
        [line] = [
            line
            for line in TEXT.splitlines()
            if line.startswith("|") and f"`{raw}`" in line and '`"' in line
        ]
        assert f'`"{reason}"' in line


def test_the_page_names_the_platforms_parameters() -> None:
    hidden = {"sensitive_word_check", "watermark_enabled", "meta", "extra"}
    assert [name for name in PLATFORM if f"`{name}`" not in TEXT and name not in hidden] == []
    assert [
        name for name in ("max_completion_tokens", "logprobs", "user") if name not in OPENAI
    ] == []


@pytest.mark.parametrize(("name", "theirs"), [("zai-sdk", zai.core._errors), ("openai", openai)])
def test_the_classes_in_the_tables_of_migration_exist(name: str, theirs: ModuleType) -> None:
    page = (PAGE.parents[1] / "migration.md").read_text("utf-8")
    rows = (
        page.partition(f"| errors of {name} | glmclient |\n")[2]
        .partition("\n\n")[0]
        .splitlines()[1:]
    )
    assert len(rows) > 5
    for row in rows:
        _, left, right, _ = row.split("|")
        for column, module in ((left, theirs), (right, glmclient)):
            for class_name in re.findall(r"`(\w+Error|StreamInterrupted)\b", column):
                assert hasattr(module, class_name), class_name
