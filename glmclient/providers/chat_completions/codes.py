"""The open platform's business codes as a table: what each means, which error it is, whether to try again.

Source: ``docs/wire/open-platform.md`` §3.2. The documentation page is generated from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)

__all__ = [
    "CODES",
    "ERROR_OF_STATUS",
    "STATUS_OF_WORD",
    "BusinessCode",
    "status_of_phrase",
    "status_of_word",
]


@dataclass(frozen=True, slots=True)
class BusinessCode:
    """One row of the platform's table.

    Args:
        http: the HTTP statuses that it comes with; they differ between editions of the documentation.
        meaning: what the service says by it.
        error: the class that users catch.
        retry: whether the same request may succeed a little later.
        advice: what to do, where that of the class does not say enough.
    """

    http: str
    meaning: str
    error: type[APIStatusError]
    retry: bool = False
    advice: str = ""


_RESET = "Wait for the reset, or use another key or plan."

CODES: Mapping[str, BusinessCode] = {
    "1000": BusinessCode("401", "authentication failed", AuthenticationError),
    "1001": BusinessCode("401", "no Authorization header", AuthenticationError),
    "1002": BusinessCode("401", "token invalid", AuthenticationError),
    "1003": BusinessCode("401", "token expired", AuthenticationError),
    "1004": BusinessCode("401", "token check failed", AuthenticationError),
    "1005": BusinessCode("401", "second factor needed", AuthenticationError),
    "1100": BusinessCode("500", "account could not be read or written", ServerError, retry=True),
    "1110": BusinessCode("401, 429", "account inactive", AuthenticationError),
    "1111": BusinessCode("401, 429", "account does not exist", AuthenticationError),
    "1112": BusinessCode("401, 429", "account locked", AuthenticationError),
    "1113": BusinessCode("429", "balance used up, or no resource package", QuotaExceededError),
    "1120": BusinessCode("401, 500", "account unavailable for now", ServerError, retry=True),
    "1121": BusinessCode("401, 429", "account blocked for violations", AuthenticationError),
    "1200": BusinessCode("500", "the call failed", ServerError, retry=True),
    "1210": BusinessCode("400", "wrong parameters", BadRequestError),
    "1211": BusinessCode("400", "model does not exist", NotFoundError),
    "1212": BusinessCode("400", "model does not support this method", BadRequestError),
    "1213": BusinessCode("400", "required field missing", BadRequestError),
    "1214": BusinessCode("400", "field invalid", BadRequestError),
    "1215": BusinessCode("400", "fields exclude each other", BadRequestError),
    "1220": BusinessCode("403", "no permission for this API", PermissionDeniedError),
    "1221": BusinessCode("400", "API taken offline", NotFoundError),
    "1222": BusinessCode("400", "API does not exist", NotFoundError),
    "1230": BusinessCode("500", "the call's flow failed", ServerError, retry=True),
    "1231": BusinessCode(
        "400", "request_id used before", BadRequestError, advice="Give another request_id, or none."
    ),
    "1234": BusinessCode("500", "network error inside the service", ServerError, retry=True),
    "1261": BusinessCode(
        "400",
        "prompt too long",
        BadRequestError,
        advice="Shorten the messages or use a longer model.",
    ),
    "1300": BusinessCode("400", "blocked by policy", BadRequestError),
    "1301": BusinessCode(
        "400", "unsafe or sensitive content", BadRequestError, advice="Change the messages."
    ),
    "1302": BusinessCode(
        "429", "rate or concurrency limit of the account", RateLimitError, retry=True
    ),
    "1303": BusinessCode("429", "request frequency", RateLimitError, retry=True),
    "1304": BusinessCode("429", "daily limit", QuotaExceededError, advice=_RESET),
    "1305": BusinessCode(
        "429",
        "model overloaded",
        RateLimitError,
        retry=True,
        advice="Try again in a minute, or use another model.",
    ),
    "1308": BusinessCode(
        "429", "usage limit of the plan, until its reset", QuotaExceededError, advice=_RESET
    ),
    "1309": BusinessCode(
        "429",
        "coding plan expired",
        QuotaExceededError,
        advice="Renew the plan, or leave plan= out.",
    ),
    "1310": BusinessCode(
        "429", "weekly or monthly limit of the plan", QuotaExceededError, advice=_RESET
    ),
    "1311": BusinessCode("429", "plan lacks this model", QuotaExceededError),
    "1312": BusinessCode(
        "429",
        "model busy",
        RateLimitError,
        retry=True,
        advice="Try again in a minute, or use another model.",
    ),
    "1313": BusinessCode(
        "429",
        "fair-use restriction",
        QuotaExceededError,
        advice="The coding plan is for coding tools; use the standard endpoint.",
    ),
    "1314": BusinessCode("429", "enterprise plan invalid", QuotaExceededError),
    "1315": BusinessCode("429", "key only for the enterprise coding plan", QuotaExceededError),
    "1316": BusinessCode("429", "5-hour limit, and no balance", QuotaExceededError, advice=_RESET),
    "1317": BusinessCode("429", "7-day limit, and no balance", QuotaExceededError, advice=_RESET),
    "1318": BusinessCode(
        "429", "monthly cap of the sub-account", QuotaExceededError, advice=_RESET
    ),
    "1319": BusinessCode(
        "429", "monthly cap of the sub-account", QuotaExceededError, advice=_RESET
    ),
    "1320": BusinessCode("429", "monthly cap of the enterprise", QuotaExceededError, advice=_RESET),
    "1321": BusinessCode("429", "monthly cap of the enterprise", QuotaExceededError, advice=_RESET),
}
"""The platform's codes; one that is not here is classified by its HTTP status."""

STATUS_OF_WORD: Mapping[str, int] = {
    "authentication_error": 401,
    "badrequesterror": 400,
    "bad_request_error": 400,
    "billing_hard_limit_reached": 402,
    "context_length_exceeded": 400,
    "insufficient_quota": 402,
    "internalerror.timeout": 504,
    "limit_burst_rate": 429,
    "limit_requests": 429,
    "internal_error": 500,
    "internalservererror": 500,
    "internal_server_error": 500,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
"""The words that compatible servers use as ``code`` or ``type``, and the HTTP status that says the same.

``insufficient_quota`` comes with a 429, but no wait helps: 402 is what it means.
"""

_STATUS_OF_PART: tuple[tuple[str, int], ...] = (
    # Alibaba's Throttling.AllocationQuota is a rate: a wait helps. So it stands before the quotas.
    ("throttling", 429),
    *(
        ("resourceexhausted", 429),
        ("ratelimit", 429),
        ("toomanyrequests", 429),
        ("toofrequent", 429),
    ),
    *(("quota", 402), ("balance", 402), ("billing", 402), ("arrearage", 402), ("payment", 402)),
    *(("overdue", 402), ("credit", 402)),
    *(("overload", 503), ("unavailable", 503), ("busy", 503), ("timeout", 504)),
    *(("deadlineexceeded", 504), ("servicefailed", 500), ("servingerror", 500)),
    *(("apikey", 401), ("unauthorized", 401), ("authentication", 401), ("unauthenticated", 401)),
    *(("permission", 403), ("forbidden", 403), ("accessdenied", 403), ("notpurchased", 403)),
    *(("notfound", 404), ("notexist", 404)),
    *(("datainspection", 400), ("contextlength", 400), ("contextsize", 400), ("invalid", 400)),
    *(
        ("toolarge", 413),
        ("unsupported", 400),
        ("notsupported", 400),
        ("contentfilter", 400),
        ("contentpolicy", 400),
    ),
    *(("badrequest", 400), ("internal", 500), ("servererror", 500)),
)


_STATUS_OF_PHRASE: Mapping[str, int] = {
    "bad gateway": 502,
    "bad request": 400,
    "forbidden": 403,
    "gateway timeout": 504,
    "internal server error": 500,
    "not found": 404,
    "payment required": 402,
    "request timeout": 408,
    "service unavailable": 503,
    "too many requests": 429,
    "unauthorized": 401,
}


def status_of_phrase(words: str) -> int | None:
    """Return the HTTP status whose standard phrase, such as "Too Many Requests", is all that a refusal says."""
    return _STATUS_OF_PHRASE.get(words.rstrip(".").lower())


def status_of_word(word: str | None) -> int | None:
    """Return the HTTP status that a word of a server means; ``None`` if nothing is known of it.

    Servers make up words freely (``rate_limit_reached_error``, ``exceeded_current_quota_error``), so a word that is not
    in the table counts by its parts.
    """
    lowered = (word or "").lower()
    if lowered in STATUS_OF_WORD:
        return STATUS_OF_WORD[lowered]
    letters = "".join(filter(str.isalpha, lowered))
    return next((status for part, status in _STATUS_OF_PART if part in letters), None)


ERROR_OF_STATUS: Mapping[int, type[APIStatusError]] = {
    434: PermissionDeniedError,
    435: BadRequestError,
}
"""The statuses that are the platform's own: an API in beta without permission, and a file that is too large."""
