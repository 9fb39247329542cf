"""How Envoy names flags, versions and ciphers, and how everybody else does."""

from __future__ import annotations

# Response flags and their short forms, as Envoy's %RESPONSE_FLAGS% writes them.
FLAGS = {
    "failedLocalHealthcheck": "LH",
    "noHealthyUpstream": "UH",
    "upstreamRequestTimeout": "UT",
    "localReset": "LR",
    "upstreamRemoteReset": "UR",
    "upstreamConnectionFailure": "UF",
    "upstreamConnectionTermination": "UC",
    "upstreamOverflow": "UO",
    "noRouteFound": "NR",
    "delayInjected": "DI",
    "faultInjected": "FI",
    "rateLimited": "RL",
    "unauthorizedDetails": "UAEX",
    "rateLimitServiceError": "RLSE",
    "downstreamConnectionTermination": "DC",
    "upstreamRetryLimitExceeded": "URX",
    "streamIdleTimeout": "SI",
    "invalidEnvoyRequestHeaders": "IH",
    "downstreamProtocolError": "DPE",
    "upstreamMaxStreamDurationReached": "UMSDR",
    "responseFromCacheFilter": "RFCF",
    "noFilterConfigFound": "NFCF",
    "durationTimeout": "DT",
    "upstreamProtocolError": "UPE",
    "noClusterFound": "NC",
    "overloadManager": "OM",
    "dnsResolutionFailure": "DF",
    "downstreamRemoteReset": "DR",
}
HARMLESS = {"DI", "RFCF"}
HTTP_VERSIONS = {"HTTP10": "1.0", "HTTP11": "1.1", "HTTP2": "2.0", "HTTP3": "3.0"}
TLS_VERSIONS = {"TLSv1": "TLSv1", "TLSv1_1": "TLSv1.1", "TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}
# The suites that are in use; others stay numbers of the IANA registry.
CIPHERS = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}
