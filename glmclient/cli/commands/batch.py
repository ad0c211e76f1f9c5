"""``batch``: the questions of a file, answered into another file; a run that ended early goes on where it was."""

from __future__ import annotations

import importlib.util
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core.http import load_object
from ...errors import ConfigurationError, GLMError
from .. import exit_codes
from ..display.answering import told
from ..parameters import choices_of, options_of, question_options, service_options
from ..store.settings import Settings

if TYPE_CHECKING:
    from ...batch.limiter import Limiter
    from ...batch.run import BatchReport

__all__ = ["batch"]

ERROR_ROWS = 3
"""The exit code of a run whose output holds error rows."""
LINE_SECONDS = 30.0
"""Between two lines of progress where standard error is not a terminal."""


def _concurrency(ctx: click.Context, parameter: click.Parameter, value: str) -> int | str:
    if value == "auto":
        return value
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise click.BadParameter('it is "auto" or a whole number of 1 or more.')
    return int(value)


def _schema(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    if value is None:
        return None
    text = value
    if not value.lstrip().startswith("{"):
        try:
            text = Path(value).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"the file {value} cannot be read: {error}.") from None
    schema = load_object(text)
    if schema is None:
        raise click.BadParameter("it is not a JSON object; give a JSON Schema.")
    return schema


@click.command()
@click.argument("input", metavar="IN.jsonl")
@click.argument("output", metavar="OUT.jsonl", type=click.Path(dir_okay=False))
@service_options
@question_options
@click.option(
    "--concurrency",
    default="auto",
    show_default=True,
    callback=_concurrency,
    metavar="N",
    help="Questions at once; auto finds what the service allows.",
)
@click.option("--rpm", type=click.FloatRange(min=0, min_open=True), help="Requests a minute.")
@click.option("--tpm", type=click.FloatRange(min=0, min_open=True), help="Tokens a minute.")
@click.option(
    "--schema",
    callback=_schema,
    metavar="FILE",
    help="A JSON Schema that every answer must fit: a file, or the schema itself.",
)
@click.option("--retry-errors", is_flag=True, help="Ask rows again whose error may be gone.")
@click.option("--max-errors", type=click.IntRange(min=1), help="Stop after so many error rows.")
@click.option("--ordered", is_flag=True, help="Sort the output by the input at the end.")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "openai"]),
    default="jsonl",
    show_default=True,
    help="The lines of the output.",
)
@click.option("--dry-run", is_flag=True, help="Count rows and tokens; ask nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no report.")
def batch(input: str, output: str, **given: Any) -> int:
    """Ask the questions of IN.jsonl (- for standard input), and append the answers to OUT.jsonl.

    A line of the input is {"id"?, "prompt"} or {"id"?, "messages", ...options} or a line of OpenAI's batch files. A run
    that was interrupted goes on where it was: call it again. Rows that are done are skipped.
    """
    from ...batch.limiter import Limiter

    settings = Settings()
    choices = choices_of(settings, given)
    options = options_of(given["options"])
    if given["schema"] is not None:
        options["schema"] = given["schema"]
    if given["dry_run"]:
        return _counted(input, choices.provider, options, given["system"])
    limiter = Limiter(given["concurrency"], given["rpm"], given["tpm"])
    with told(given["verbose"]), choices.client(limiter=limiter) as client:
        try:
            with _progress(limiter, quiet=given["quiet"]) as show:
                report = client.batch(
                    input,
                    output,
                    concurrency=given["concurrency"],
                    retry_errors=given["retry_errors"],
                    max_errors=given["max_errors"],
                    ordered=given["ordered"],
                    format=given["format"],
                    progress=show,
                    system=given["system"],
                    **options,
                )
        except KeyboardInterrupt:
            click.echo(f"[interrupted] to go on: {_command()}", err=True)
            return exit_codes.INTERRUPTED
    if not given["quiet"]:
        _summary(report)
    return _code(report)


def _command() -> str:
    """Return the command line that goes on with this run."""
    return shlex.join(["glmclient", *sys.argv[1:]])


def _counted(input: str, provider: str, options: dict[str, Any], system: str | None) -> int:
    from ...batch.lines import input_lines
    from ...batch.rows import estimated_tokens
    from ...batch.run import opened_rows

    rows = wrong = tokens = 0
    with opened_rows(input) as lines:
        for line in input_lines(lines, provider, options, system):
            rows += 1
            if line.question is None:
                wrong += 1
            else:
                merged = {**options, **line.question.options}
                tokens += estimated_tokens(line.question.messages, merged)
    click.echo(f"{rows} rows, {wrong} of them without a question; about {tokens} tokens.")
    return exit_codes.OK


# -- what is shown -----------------------------------------------------------------------------------------


@contextmanager
def _progress(limiter: Limiter, *, quiet: bool) -> Iterator[Callable[[BatchReport], object] | None]:
    """Give what shows the report so far: a bar on a terminal, a line every 30 s elsewhere."""
    if quiet:
        yield None
    elif sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        with _bar(limiter) as show:
            yield show
    else:
        yield _Lines(limiter, time.monotonic)


class _Lines:
    """Progress as lines, where nothing can be repainted.

    Args:
        limiter: its window is shown.
        clock: seconds that only grow.
    """

    def __init__(self, limiter: Limiter, clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self._clock = clock
        self._began = self._shown = clock()

    def __call__(self, report: BatchReport) -> None:
        now = self._clock()
        if now - self._shown >= LINE_SECONDS:
            self._shown = now
            click.echo(f"[batch] {_state(report, now - self._began, self._limiter)}", err=True)


@contextmanager
def _bar(limiter: Limiter) -> Iterator[Callable[[BatchReport], object]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    began = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("waiting for the first answer")

        def show(report: BatchReport) -> None:
            seconds = time.monotonic() - began
            progress.update(task, description=_state(report, seconds, limiter))

        yield show


def _state(report: BatchReport, seconds: float, limiter: Limiter) -> str:
    asked = report.succeeded + report.failed - report.skipped
    rate = asked / seconds if seconds > 0 else 0.0
    tokens = report.usage.total_tokens / seconds if seconds > 0 else 0.0
    errors = ", ".join(f"{count} {name}" for name, count in report.errors.items())
    return (
        f"{report.succeeded + report.failed} rows done ({report.skipped} before), {rate:.1f} rows/s, "
        f"{tokens:.0f} tokens/s, {limiter.under_way} at once"
        + (f"; errors: {errors}" if errors else "")
    )


def _summary(report: BatchReport) -> None:
    """Write the report, with the command that retries."""
    click.echo(
        f"[batch] {report.total} rows: {report.succeeded} answered, {report.failed} failed; {report.skipped} were done "
        f"before; {report.usage.total_tokens} tokens.",
        err=True,
    )
    for name, count in report.errors.items():
        click.echo(f"[batch] {count} x {name}", err=True)
    if report.stopped is not None:
        click.echo(f"[batch] stopped early: {report.stopped}", err=True)
        click.echo(f"[batch] to go on: {_command()}", err=True)
    elif report.failed:
        again = _command() if "--retry-errors" in sys.argv else f"{_command()} --retry-errors"
        click.echo(f"[batch] to ask errors again that may be gone: {again}", err=True)


def _code(report: BatchReport) -> int:
    stopped = report.stopped
    if isinstance(stopped, GLMError) and not isinstance(stopped, ConfigurationError):
        return exit_codes.of(stopped)
    if isinstance(stopped, OSError):
        return exit_codes.OTHER
    return ERROR_ROWS if report.failed else exit_codes.OK
