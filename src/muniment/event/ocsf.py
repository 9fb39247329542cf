"""The numbers of OCSF 1.8 that parsers fill in, and how statuses and severities map to them."""

from __future__ import annotations

import polars as pl

VERSION = "1.8.0"

HTTP_ACTIVITY = 4002
NETWORK_ACTIVITY = 4001
API_ACTIVITY = 6003
ENTITY_MANAGEMENT = 3004
AUTHENTICATION = 3002
APPLICATION_LIFECYCLE = 6002

OTHER = 99

# HTTP Activity: activity_id by request method.
METHODS = {
    "CONNECT": 1,
    "DELETE": 2,
    "GET": 3,
    "HEAD": 4,
    "OPTIONS": 5,
    "POST": 6,
    "PUT": 7,
    "TRACE": 8,
    "PATCH": 9,
}

# Network Activity
OPEN, CLOSE, RESET, FAIL, REFUSE, TRAFFIC = 1, 2, 3, 4, 5, 6

# Application Lifecycle
INSTALL, REMOVE, START, STOP, RESTART, ENABLE, DISABLE, UPDATE = 1, 2, 3, 4, 5, 6, 7, 8

SUCCESS, FAILURE = 1, 2

INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL, FATAL = 1, 2, 3, 4, 5, 6

# Syslog severity (RFC 5424 6.2.1) 0..7 to OCSF severity_id.
SYSLOG_SEVERITY = {
    0: FATAL,
    1: CRITICAL,
    2: CRITICAL,
    3: HIGH,
    4: MEDIUM,
    5: LOW,
    6: INFORMATIONAL,
    7: INFORMATIONAL,
}

# The words that loggers use for severities, in lower case.
SEVERITY_WORDS = {
    "emerg": FATAL,
    "emergency": FATAL,
    "fatal": FATAL,
    "panic": FATAL,
    "alert": CRITICAL,
    "crit": CRITICAL,
    "critical": CRITICAL,
    "error": HIGH,
    "err": HIGH,
    "high": HIGH,
    "warn": MEDIUM,
    "warning": MEDIUM,
    "medium": MEDIUM,
    "notice": LOW,
    "low": LOW,
    "info": INFORMATIONAL,
    "information": INFORMATIONAL,
    "informational": INFORMATIONAL,
    "debug": INFORMATIONAL,
    "trace": INFORMATIONAL,
}


def lookup(column: str, table: dict[str, int] | dict[int, int], default: int | None) -> pl.Expr:
    """The Int32 that `table` gives for each value of `column`; null stays null."""
    found = pl.col(column).replace_strict(table, default=default, return_dtype=pl.Int32)
    return pl.when(pl.col(column).is_not_null()).then(found)


def method_activity(column: str) -> pl.Expr:
    """activity_id of HTTP Activity: 99 for a method that OCSF does not number, 0 for none."""
    return lookup(column, METHODS, OTHER).fill_null(0)


def http_status_id(status: str, code: str) -> pl.Expr:
    """status_id: Success below 400; Failure from 400 on or when no response was sent at all.

    `status` is the column of the status as it was logged, `code` the same as a number or null.
    Without a logged status the outcome is unknown (null).
    """
    good = pl.col(code).is_between(100, 399).fill_null(False)
    outcome = pl.when(good).then(pl.lit(SUCCESS)).otherwise(pl.lit(FAILURE))
    return pl.when(pl.col(status).is_not_null()).then(outcome).cast(pl.Int32)


def http_severity_id(code: str) -> pl.Expr:
    """severity_id: Medium for a server error (5xx), otherwise Informational."""
    failed = pl.col(code).is_between(500, 599).fill_null(False)
    return pl.when(failed).then(MEDIUM).otherwise(INFORMATIONAL).cast(pl.Int32)
