"""LiteLLM would fetch its prices when it is imported; the tests know this machine alone."""

from __future__ import annotations

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
