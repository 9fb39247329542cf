"""Envoy's access log messages as tables, and their JSON text.

From envoy.service.accesslog.v3 and what it uses, as of xds-protos 1.85. The packages that have
these messages ready put their files in the place of other packages', or decode in Python alone.
"""

from __future__ import annotations

from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from muniment.event.protobuf import described
from muniment.event.rendering import Renderer

_STREAM = {
    "StreamAccessLogsMessage": "1 identifier Identifier, 2 http_logs HTTPLogs, 3 tcp_logs TCPLogs",
    "Identifier": "1 node Node, 2 log_name string",
    "HTTPLogs": "1 log_entry *HTTPAccessLogEntry",
    "TCPLogs": "1 log_entry *TCPAccessLogEntry",
    "Node": """
        1 id string, 2 cluster string, 3 metadata Struct, 12 dynamic_parameters string:Parameters,
        4 locality Locality, 6 user_agent_name string, 7 user_agent_version string,
        8 user_agent_build_version BuildVersion, 9 extensions *Extension,
        10 client_features *string, 11 listening_addresses *Address""",
    "Parameters": "1 params string:string",
    "Locality": "1 region string, 2 zone string, 3 sub_zone string",
    "BuildVersion": "1 version SemanticVersion, 2 metadata Struct",
    "SemanticVersion": "1 major_number uint32, 2 minor_number uint32, 3 patch uint32",
    "Extension": """
        1 name string, 2 category string, 3 type_descriptor string, 4 version BuildVersion,
        5 disabled bool, 6 type_urls *string""",
    "Address": """
        1 socket_address SocketAddress, 2 pipe Pipe, 3 envoy_internal_address InternalAddress""",
    "SocketAddress": """
        1 protocol Protocol, 2 address string, 3 port_value uint32, 4 named_port string,
        5 resolver_name string, 6 ipv4_compat bool, 7 network_namespace_filepath string""",
    "Pipe": "1 path string, 2 mode uint32",
    "InternalAddress": "1 server_listener_name string, 2 endpoint_id string",
}
_ENTRIES = {
    "HTTPAccessLogEntry": """
        1 common_properties AccessLogCommon, 2 protocol_version HTTPVersion,
        3 request HTTPRequestProperties, 4 response HTTPResponseProperties""",
    "TCPAccessLogEntry": """
        1 common_properties AccessLogCommon, 2 connection_properties ConnectionProperties""",
    "ConnectionProperties": "1 received_bytes uint64, 2 sent_bytes uint64",
    "AccessLogCommon": """
        1 sample_rate double, 2 downstream_remote_address Address,
        3 downstream_local_address Address, 4 tls_properties TLSProperties, 5 start_time Timestamp,
        6 time_to_last_rx_byte Duration, 7 time_to_first_upstream_tx_byte Duration,
        8 time_to_last_upstream_tx_byte Duration, 9 time_to_first_upstream_rx_byte Duration,
        10 time_to_last_upstream_rx_byte Duration, 11 time_to_first_downstream_tx_byte Duration,
        12 time_to_last_downstream_tx_byte Duration, 13 upstream_remote_address Address,
        14 upstream_local_address Address, 15 upstream_cluster string,
        16 response_flags ResponseFlags, 17 metadata Metadata,
        18 upstream_transport_failure_reason string, 19 route_name string,
        20 downstream_direct_remote_address Address, 21 filter_state_objects string:Any,
        22 custom_tags string:string, 23 duration Duration,
        24 upstream_request_attempt_count uint32, 25 connection_termination_details string,
        26 stream_id string, 27 intermediate_log_entry bool,
        28 downstream_transport_failure_reason string, 29 downstream_wire_bytes_sent uint64,
        30 downstream_wire_bytes_received uint64, 31 upstream_wire_bytes_sent uint64,
        32 upstream_wire_bytes_received uint64, 33 access_log_type AccessLogType""",
    "ResponseFlags": """
        1 failed_local_healthcheck bool, 2 no_healthy_upstream bool,
        3 upstream_request_timeout bool, 4 local_reset bool, 5 upstream_remote_reset bool,
        6 upstream_connection_failure bool, 7 upstream_connection_termination bool,
        8 upstream_overflow bool, 9 no_route_found bool, 10 delay_injected bool,
        11 fault_injected bool, 12 rate_limited bool, 13 unauthorized_details Unauthorized,
        14 rate_limit_service_error bool, 15 downstream_connection_termination bool,
        16 upstream_retry_limit_exceeded bool, 17 stream_idle_timeout bool,
        18 invalid_envoy_request_headers bool, 19 downstream_protocol_error bool,
        20 upstream_max_stream_duration_reached bool, 21 response_from_cache_filter bool,
        22 no_filter_config_found bool, 23 duration_timeout bool, 24 upstream_protocol_error bool,
        25 no_cluster_found bool, 26 overload_manager bool, 27 dns_resolution_failure bool,
        28 downstream_remote_reset bool""",
    "Unauthorized": "1 reason Reason",
    "TLSProperties": """
        1 tls_version TLSVersion, 2 tls_cipher_suite UInt32Value, 3 tls_sni_hostname string,
        4 local_certificate_properties Certificate, 5 peer_certificate_properties Certificate,
        6 tls_session_id string, 7 ja3_fingerprint string""",
    "Certificate": "1 subject_alt_name *AltName, 2 subject string, 3 issuer string",
    "AltName": "1 uri string, 2 dns string",
    "HTTPRequestProperties": """
        1 request_method RequestMethod, 2 scheme string, 3 authority string, 4 port UInt32Value,
        5 path string, 6 user_agent string, 7 referer string, 8 forwarded_for string,
        9 request_id string, 10 original_path string, 11 request_headers_bytes uint64,
        12 request_body_bytes uint64, 13 request_headers string:string,
        14 upstream_header_bytes_sent uint64, 15 downstream_header_bytes_received uint64""",
    "HTTPResponseProperties": """
        1 response_code UInt32Value, 2 response_headers_bytes uint64, 3 response_body_bytes uint64,
        4 response_headers string:string, 5 response_trailers string:string,
        6 response_code_details string, 7 upstream_header_bytes_received uint64,
        8 downstream_header_bytes_sent uint64""",
    "Metadata": "1 filter_metadata string:Struct, 2 typed_filter_metadata string:Any",
}
_ENUMS = {
    "Protocol": "TCP UDP",
    "HTTPVersion": "PROTOCOL_UNSPECIFIED HTTP10 HTTP11 HTTP2 HTTP3",
    "Reason": "REASON_UNSPECIFIED EXTERNAL_SERVICE",
    "TLSVersion": "VERSION_UNSPECIFIED TLSv1 TLSv1_1 TLSv1_2 TLSv1_3",
    "RequestMethod": "METHOD_UNSPECIFIED GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH",
    "AccessLogType": """
        NotSet TcpUpstreamConnected TcpPeriodic TcpConnectionEnd DownstreamStart DownstreamPeriodic
        DownstreamEnd UpstreamPoolReady UpstreamPeriodic UpstreamEnd
        DownstreamTunnelSuccessfullyEstablished UdpTunnelUpstreamConnected UdpPeriodic
        UdpSessionEnd""",
}


def renderer() -> Renderer:
    """A renderer of StreamAccessLogsMessage."""
    imports = []
    for module in (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        imports.append(file)
    files = described("envoy", _STREAM | _ENTRIES, _ENUMS, imports=imports)
    return Renderer(files, "envoy.StreamAccessLogsMessage")
