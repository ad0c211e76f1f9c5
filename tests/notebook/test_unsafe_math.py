"""Formulas whose commands do more than set a formula are shown as code."""

from __future__ import annotations

import pytest

from glmclient.notebook.markdown import rendered

UNSAFE = (
    r"\href{javascript:alert(1)}{x}",
    r"\require{html}",
    r"\style{position:fixed}{x}",
    r"\class{x}{y}",
    r"\cssId{x}{y}",
    r"\def\x{\x\x}\x",
    r"\newcommand{\x}{\x\x}",
    r"\renewcommand\x{}",
    r"\let\x=\y",
    r"\bbox[border:1px]{x}",
    r"\htmlData{a=b}{x}",
    r"\text{\href{x}{y}}",
    r"\unicode{x}",
)


@pytest.mark.parametrize("formula", UNSAFE)
@pytest.mark.parametrize(
    "form", ["${}$", "$$ {} $$", r"\({}\)", r"\[ {} \]", "$$\n{}\n$$", "\\[\n{}\n\\]"]
)
def test_an_unsafe_formula_is_code(form: str, formula: str) -> None:
    html = rendered(form.replace("{}", formula, 1))
    assert "<code>" in html
    assert "mathjax_process" not in html


@pytest.mark.parametrize(
    "formula", [r"\hrefx", r"\frac{a}{b}", r"\styles", r"\delta \left( x \right)"]
)
def test_other_formulas_are_formulas(formula: str) -> None:
    assert "mathjax_process" in rendered(f"${formula}$")
