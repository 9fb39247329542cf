"""IP addresses in SQL: whether a text column holds an address within a network.

DuckDB compares text, so the macros bring addresses into a form in which order is numeric order:
IPv4 as a number, IPv6 as 32 hexadecimal digits. Text that is no address gives NULL.
"""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network

_QUAD = r"\d{1,3}(\.\d{1,3}){3}"

MACROS = (
    "CREATE MACRO ipv4_number(x) AS CASE WHEN regexp_full_match(x, '" + _QUAD + "') THEN "
    "split_part(x, '.', 1)::BIGINT * 16777216 + split_part(x, '.', 2)::BIGINT * 65536 + "
    "split_part(x, '.', 3)::BIGINT * 256 + split_part(x, '.', 4)::BIGINT END",
    "CREATE MACRO ipv6_groups(x) AS CASE WHEN x = '' THEN '' ELSE array_to_string("
    "list_transform(string_split(x, ':'), lambda g: lpad(g, 4, '0')), '') END",
    "CREATE MACRO ipv6_join(head, tail, short) AS CASE "
    "WHEN short AND length(head) + length(tail) < 32 THEN "
    "head || repeat('0', 32 - length(head) - length(tail)) || tail "
    "WHEN NOT short AND length(head) = 32 THEN head END",
    "CREATE MACRO ipv6_digits(x) AS CASE WHEN "
    "regexp_full_match(x, '([0-9a-fA-F]{0,4}:){2,8}[0-9a-fA-F]{0,4}') "
    "AND length(x) - length(replace(x, '::', '')) <= 2 AND NOT contains(x, ':::') THEN "
    "ipv6_join(ipv6_groups(split_part(lower(x), '::', 1)), "
    "ipv6_groups(split_part(lower(x), '::', 2)), contains(x, '::')) END",
)
"""Statements that a DuckDB connection runs once before conditions from here are used on it."""


def in_network(column: str, text: str) -> tuple[str, tuple[object, ...]]:
    """Returns an SQL condition and its values: the address in `column` lies within a network.

    `text` is a network as `10.0.0.0/8` or `2001:db8::/32`. Raises ValueError where it is none.
    """
    network = ip_network(text)
    first, last = network.network_address, network.broadcast_address
    if isinstance(network, IPv4Network):
        if network.prefixlen and network.prefixlen % 8 == 0 and network.prefixlen < 32:
            # A text prefix reaches the row group statistics; a computed number does not.
            octets = str(first).split(".")[: network.prefixlen // 8]
            return f"starts_with({column}, ?)", (".".join(octets) + ".",)
        return f"ipv4_number({column}) BETWEEN ? AND ?", (int(first), int(last))
    return f"ipv6_digits({column}) BETWEEN ? AND ?", (f"{int(first):032x}", f"{int(last):032x}")
