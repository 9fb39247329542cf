"""Sources of the logs of administration: Caddy, Kong, the Data Plane API, BIG-IP, NetScaler."""

from __future__ import annotations

import datetime
import json

import pytest

FILES = {
    "caddy": ("caddy/caddy.log", 8),
    "kong": ("kong/kong.log", 7),
    "dataplaneapi": ("dataplaneapi/dataplaneapi.log", 7),
    "f5": ("f5/audit.log", 10),
    "citrix": ("citrix/ns.log", 9),
}


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


@pytest.fixture
def rows(events, sample):
    return lambda source: events(source, sample(FILES[source][0]))


def by_text(rows, text):
    return next(row for row in rows if text in row["raw_data"])


def act(row):
    """Class, activity, outcome, who, from where, and what it was done to."""
    user = ((row["actor"] or {}).get("user") or {}).get("name")
    ip = (row["src_endpoint"] or {}).get("ip")
    what = [(r["type"], r["name"]) for r in row["resources"] or []]
    return (row["class_uid"], row["activity_id"], row["status_id"], user, ip, *what)


@pytest.mark.parametrize("source", FILES)
def test_every_line_is_read(rows, source) -> None:
    read = rows(source)
    assert len(read) == FILES[source][1]
    assert [row["parse_error"] for row in read] == [None] * len(read)
    assert all(row["class_uid"] for row in read)


@pytest.mark.parametrize("source", FILES)
def test_what_is_no_line_of_it_is_kept(events, source) -> None:
    for line in ("hello", "{}", '{"a":', "", "\x00\x01", "AUDIT - "):
        row = events(source, [line])[0]
        assert (row["class_uid"], row["activity_id"]) == (0, 0)
        assert row["parse_error"]
        assert row["raw_data"] == line


def test_caddy(rows) -> None:
    read = rows("caddy")
    first = read[0]
    assert (first["class_uid"], first["http_response"]["code"]) == (4002, 200)
    assert first["time_dt"] == at("2022-03-09T21:30:01.524102")
    assert (first["tls"]["version"], first["tls"]["sni"]) == ("TLSv1.3", "example.com")
    assert first["http_request"]["url"]["port"] == 8443
    behind = read[1]
    assert (behind["src_endpoint"]["ip"], behind["src_endpoint"]["port"]) == ("192.0.2.7", None)
    assert (behind["duration"], behind["actor"]["user"]["name"]) == (1500, "ann")
    assert act(read[2]) == (6003, 1, 0, None, "127.0.0.1", ("config", "/"))
    assert act(read[3]) == (6003, 4, 0, None, "127.0.0.1", ("config", "apps/http/servers/srv0"))
    assert (read[4]["class_uid"], read[4]["activity_id"]) == (6002, 3)
    console, old = read[6], read[7]
    assert (console["time_dt"], console["src_endpoint"]["ip"]) == (at("2023-01-02T15:04:05"), "::1")
    assert (old["src_endpoint"]["ip"], old["src_endpoint"]["port"]) == ("127.0.0.1", 41342)


def test_kong(rows) -> None:
    read = rows("kong")
    logged = read[0]
    balancer = logged["load_balancer"]
    assert (balancer["name"], balancer["code"]) == ("log-route", 200)
    assert balancer["dst_endpoint"]["svc_name"] == "example"
    tries = balancer["endpoint_connections"]
    assert [one["code"] for one in tries] == [502, None]
    assert (logged["load"]["retries"], logged["timings"]["upstream"]) == (1, 457)
    assert (logged["actor"]["user"]["name"], logged["duration"]) == ("ann", 515)
    assert (read[1]["class_uid"], read[1]["http_request"]["uid"]) == (4002, "9e1d00aa")
    assert act(read[2]) == (6003, 1, 1, None, "127.0.0.1", ("service", None))
    assert act(read[3]) == (6003, 3, 1, None, "127.0.0.1", ("route", "log-route"))
    assert act(read[4]) == (6003, 4, 1, None, "127.0.0.1", ("target", "10.0.0.1:80"))
    assert read[5]["metadata"]["product"]["name"] == "Kong"
    assert act(read[6]) == (6003, 3, 1, "kong_admin", "127.0.0.1", ("plugin", "p1"))


def test_the_data_plane_api(rows) -> None:
    read = rows("dataplaneapi")
    assert (read[0]["class_uid"], read[0]["activity_id"]) == (6002, 3)
    started, done = read[1], read[2]
    assert act(started) == (6003, 3, 0, None, "10.0.0.9", ("server", "web/w2"))
    assert act(done) == (6003, 3, 1, "admin", "10.0.0.9", ("server", "web/w2"))
    assert (done["duration"], done["http_response"]["code"]) == (12, 202)
    assert done["load_balancer"]["dst_endpoint"]["svc_name"] == "web"
    assert act(read[3]) == (6003, 4, 1, None, "10.0.0.9", ("server", "web/w2"))
    assert act(read[4]) == (6003, 1, 1, "admin", "10.0.0.9", ("certificate", None))
    assert (read[4]["duration"], read[4]["time_dt"]) == (31, at("2021-06-01T10:00:03"))
    assert act(read[5]) == (6003, 3, 1, "admin", "10.0.0.9", ("server", "web/w1"))
    assert (read[6]["class_uid"], read[6]["severity_id"]) == (6002, 3)


def test_big_ip(rows) -> None:
    read = rows("f5")
    assert act(by_text(read, "modify ltm pool")) == (
        *(6003, 3, 1, "ann", None),
        ("ltm pool", "/Common/web"),
    )
    drained = by_text(read, "modify ltm pool")
    assert drained["load_balancer"]["dst_endpoint"]["svc_name"] == "/Common/web"
    assert (drained["device"]["hostname"], drained["actor"]["app_name"]) == ("bigip1", "tmsh")
    assert act(by_text(read, "client-ssl"))[5] == ("ltm profile client-ssl", "/Common/edge")
    refused = by_text(read, "delete ltm virtual")
    assert (refused["status_id"], refused["load_balancer"]["name"]) == (2, "/Common/vs1")
    assert act(by_text(read, "transaction")) == (6003, 3, 1, "admin", None, ("pool", "/Common/web"))
    logins = [row for row in read if row["class_uid"] == 3002]
    assert [row["activity_id"] for row in logins] == [2, 1]
    assert {row["user"]["name"] for row in logins} == {"ann"}
    assert {row["src_endpoint"]["ip"] for row in logins} == {"10.77.112.22"}
    rest = by_text(read, "ForwarderPassThroughWorker")
    assert act(rest) == (6003, 3, 1, "admin", "192.0.2.7", ("ltm pool", "/Common/web"))
    assert rest["time_dt"] == at("2023-07-23T12:00:00")
    down = by_text(read, "monitor status down")
    assert (down["class_uid"], down["activity_id"]) == (6002, 4)
    assert down["load_balancer"]["dst_endpoint"]["name"] == "/Common/10.0.0.1:80"
    request = by_text(read, "response_logging")
    assert (request["http_response"]["code"], request["duration"]) == (503, 5)
    assert request["time_dt"] == at("2026-11-21T10:00:00")
    assert request["device"]["hostname"] == "bigip1"


def test_big_ip_hostile_and_cut(events) -> None:
    head = "01420002:5: AUDIT - pid=1 user=ann folder=/Common module=(tmos)# status=[Command OK] "
    lines = [
        head,
        head + 'cmd_data=create ltm pool "p 1" description "x] cmd_data=delete ltm pool y"',
        "01070417:6: AUDIT - RAW: sshd(pam_audit): User=root tty=ssh host=192.0.2.9 failed to login"
        " after 1 attempts (start=x end=y).",
        'event_source="request_logging",client_ip="10.0.0.9",http_uri="/a",virtual_name="x"'
        ',virtual_name="/Common/vs1"',
        'event_source="request_logging",client_ip="10.0.0.9",http_uri="/a',
    ]
    cut, quoted, failed, twice, open_ = events("f5", lines)
    assert (cut["class_uid"], cut["parse_error"] is not None) == (0, True)
    assert act(quoted) == (6003, 1, 1, "ann", None, ("ltm pool", "/Common/p 1"))
    assert act(failed) == (3002, 1, 2, "root", "192.0.2.9")
    assert (twice["load_balancer"], twice["parse_error"] is not None) == (None, True)
    assert (open_["http_request"], open_["parse_error"] is not None) == (None, True)


def test_netscaler(rows) -> None:
    read = rows("citrix")
    assert act(read[0]) == (6003, 2, 1, "admuser", "10.106.44.21", ("ns license", None))
    assert read[0]["time_dt"] == at("2024-05-31T06:05:23")
    assert act(read[1]) == (6003, 1, 1, "nsroot", "10.0.0.9", ("lb vserver", "web"))
    assert (read[1]["load_balancer"]["name"], read[1]["device"]["hostname"]) == ("web", "edge1")
    assert json.loads(read[1]["unmapped"])["ADM_User"] == "ann"
    assert act(read[2]) == (6003, 4, 2, "nsroot", "10.0.0.9", ("server", "w 1"))
    closed, delinked, handshake = read[3:6]
    assert (closed["class_uid"], closed["activity_id"]) == (4001, 2)
    assert (closed["traffic"]["bytes_in"], closed["traffic"]["bytes_out"]) == (1024, 517)
    assert (delinked["dst_endpoint"]["ip"], delinked["dst_endpoint"]["port"]) == ("10.1.0.1", 443)
    assert handshake["tls"]["version"] == "TLSv1.2"
    assert handshake["src_endpoint"]["port"] == 50314
    assert act(read[6]) == (3002, 1, 2, "bob", "192.0.2.8")
    assert (read[7]["class_uid"], read[7]["activity_id"]) == (6002, 4)
    assert (act(read[8]), read[8]["time_dt"]) == (
        (3002, 1, 1, "nsroot", "10.0.0.9"),
        at("2026-11-20T23:08:22"),  # day first, for it is nearer
    )


def test_netscaler_in_local_time_and_messages_of_policies(events) -> None:
    end = "Total_bytes_send 963 - Total_bytes_recv 5238"
    lines = [
        f"<134> 11/21/2026:00:08:16  ns1 0-PPE-0 : default TCP CONN_TERMINATE 1 0 :  "
        f"Source 192.0.2.7:443 - Destination 10.1.0.2:57620 - {end}",
        "<134> 11/20/2026:23:08:17 GMT ns1 0-PPE-0 : default TCP OTHERCONN_DELINK 2 0 :  Source "
        "192.0.2.7:56555 - Vserver 10.1.0.1:636 - NatIP 10.2.0.1:1 - Destination 10.3.0.1:636 - "
        f"Delink Time 11/20/2026:23:08:17  {end}",
        "<134> 11/20/2026:23:08:18 GMT ns1 0-PPE-1 : default REWRITE Message 3 0 :  "
        '"Source: 192.0.2.7 HTTP Status: 200"',
        "<134> 11/20/2026:23:08:19 GMT ns1 0-PPE-0 : default SSLVPN HTTPREQUEST 4 0 : Context "
        "ann@192.0.2.7 - SessionId: 7 - www.example.com User ann : Group(s) N/A : GET /a - -",
        "<134> 07/08/2024:01:31:08 GMT ns1 0-PPE-0 : default SSLVPN TCPCONNSTAT 5 0 : Context "
        "ann@192.0.2.7 - User ann - Vserver 10.1.0.1:443 - Source 192.0.2.7:333 - Destination "
        f"10.3.0.1:443 - {end}",
    ]
    local, other, policy, request, old = rows = events("citrix", lines)
    assert [row["parse_error"] for row in rows] == [None] * 5
    assert local["time_dt"] == at("2026-11-21T00:08:16")
    assert events("citrix", lines[:1], zone="Europe/Berlin")[0]["time_dt"] == at(
        "2026-11-20T23:08:16"
    )
    assert {row["device"]["hostname"] for row in rows} == {"ns1"}
    assert (other["traffic"]["bytes_in"], other["traffic"]["bytes_out"]) == (963, 5238)
    assert (policy["class_uid"], policy["app"]["name"]) == (6002, "netscaler")
    assert request["app"]["name"] == "netscaler"
    assert old["time_dt"] == at("2024-07-08T01:31:08")  # month first: nobody can say
    assert (old["class_uid"], old["src_endpoint"]["port"]) == (4001, 333)


def test_bigip_messages_without_a_code(events) -> None:
    rows = events(
        "f5",
        [
            "<134>Nov 20 23:08:16 bigip1 info tmm1[7]: Rule /Common/r <HTTP_REQUEST>: 192.0.2.7 /a",
            "Nov 20 23:08:16 bigip1 notice syslog-ng[9]: Configuration reload finished;",
            "<133>Nov 20 23:08:16 bigip1 notice mcpd[5]: 01070417:5: AUDIT - client tmsh, "
            'tmsh-pid-7, user ann - transaction #1-5 - object 0 - modify { pool { pool_name "/C/p" '
            "} } [Status=Command OK]",
            '<134>Nov 20 23:08:16 bigip1 event_source="request_logging",hostname="bigip1",'
            'client_ip="192.0.2.7",http_method="GET",http_uri="/a"',
        ],
    )
    rule, own, act_, request = rows
    assert [row["parse_error"] for row in rows] == [None] * 4
    assert [row["device"]["hostname"] for row in rows] == ["bigip1"] * 4
    assert (rule["class_uid"], rule["app"]["name"], rule["severity_id"]) == (6002, "tmm1", 1)
    assert rule["message"] == "Rule /Common/r <HTTP_REQUEST>: 192.0.2.7 /a"
    assert own["message"] == "Configuration reload finished;"
    assert (act_["class_uid"], act_["actor"]["user"]["name"]) == (6003, "ann")
    assert (request["src_endpoint"]["ip"], request["http_request"]["url"]["path"]) == (
        "192.0.2.7",
        "/a",
    )


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("caddy", "handled request"),
        ("kong", "latencies"),
        ("citrix", "SSL_HANDSHAKE"),
        ("f5", "<133>"),
    ],
)
def test_an_envelope_knows_them_by_their_shape(events, rows, source, text) -> None:
    alone = by_text(rows(source), text)
    line = alone["raw_data"]
    inside = line if line.startswith("<") else f"<134>Nov 20 23:08:16 edge app: {line}"
    row = events("syslog", [inside])[0]
    assert row["metadata"]["product"] == alone["metadata"]["product"]
