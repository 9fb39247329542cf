"""The numbers of OCSF 1.8 that parsers fill in, and what maps to them."""

from __future__ import annotations

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
