"""``python -m tests.fuzz --seconds N``: fuzz the decoders, guided by coverage, for as long as told.

An input that breaks a law is written to ``tests/fuzz/inputs/``, where the tests run it from then on.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

INPUTS = Path(__file__).parent / "inputs"


def main() -> None:
    """Fuzz until the time is over or an input breaks a law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz")
    options = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=["glmclient"]):
        from .target import check, seeds
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(seeds()):
            Path(corpus, f"seed-{number}").write_bytes(data)
        for known in INPUTS.glob("*"):
            Path(corpus, known.name).write_bytes(known.read_bytes())
        arguments = [
            sys.argv[0],
            f"-max_total_time={options.seconds}",
            "-max_len=4096",
            "-timeout=20",
            "-rss_limit_mb=2048",
            f"-artifact_prefix={INPUTS}/",
            "-print_final_stats=1",
            corpus,
        ]
        atheris.Setup(arguments, check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
