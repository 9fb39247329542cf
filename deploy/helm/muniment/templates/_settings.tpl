{{/*
muniment.toml of a role; takes (dict "root" $ "values" .Values.ingest "roles" (list "ingest")).
What differs from pod to pod comes as variables: MUNIMENT_NODE, and the url in MUNIMENT_FLEET.
*/}}
{{- define "muniment.settings" -}}
{{- $v := .root.Values }}
{{- $ingest := has "ingest" .roles }}
{{- $name := include "muniment.fullname" .root }}
{{- $own := list (printf "dns://%s-nodes.%s.svc:8470" $name .root.Release.Namespace) }}
{{- if $v.watch.enabled }}
{{- $own = append $own (printf "dns://%s-watch.%s.svc:8470" $name .root.Release.Namespace) }}
{{- end }}
{{- $tls := "/etc/muniment/tls" }}
{{- $fleet := dict
      "members" (concat $own $v.fleet.members)
      "heartbeat" $v.fleet.heartbeat
      "lost_after" $v.fleet.lostAfter
      "ca" (printf "%s/ca.crt" $tls)
      "certificate" (printf "%s/tls.crt" $tls)
      "key" (printf "%s/tls.key" $tls)
      "token" "/etc/muniment/tokens/fleet" }}
{{- if and $ingest (ne $v.fleet.takeover "off") }}
{{- $_ := set $fleet "takeover" $v.fleet.takeover }}
{{- end }}
{{- $given := dict
      "data" "/var/lib/muniment/data"
      "listen" "0.0.0.0:8470"
      "syslog" "off"
      "origin" $v.origin
      "logs" $v.logs
      "roles" .roles
      "drain" .values.drain
      "tls_certificate" (printf "%s/tls.crt" $tls)
      "tls_key" (printf "%s/tls.key" $tls)
      "probe_listen" "0.0.0.0:8471"
      "tokens" "/etc/muniment/tokens/tokens.json"
      "fleet" $fleet }}
{{- if $v.tls.clientCertificates }}
{{- $_ := set $given "tls_client_ca" (printf "%s/ca.crt" $tls) }}
{{- if $v.edge.enabled }}
{{- $_ := set $given "edges" (list $v.edge.commonName) }}
{{- end }}
{{- end }}
{{- range $key := list "jurisdiction" "region" "residency" "retention" }}
{{- with get $v $key }}
{{- $_ := set $given $key . }}
{{- end }}
{{- end }}
{{- with $v.stores }}
{{- $_ := set $given "store" . }}
{{- end }}
{{- if and $ingest $v.wal }}
{{- $wal := deepCopy $v.wal }}
{{- if $v.takeoverSecret }}
{{- $_ := set $wal "takeover_secret" "/etc/muniment/takeover/takeover" }}
{{- end }}
{{- $_ := set $given "wal" $wal }}
{{- $_ := set $given "durability" "replicated" }}
{{- end }}
{{- if $ingest }}
{{- $receive := list }}
{{- range .values.listeners }}
{{- $one := dict
      "protocol" .protocol
      "listen" (printf "0.0.0.0:%d" (int .port))
      "tls_certificate" (printf "%s/tls.crt" $tls)
      "tls_key" (printf "%s/tls.key" $tls) }}
{{- if eq .senders "certificates" }}
{{- $_ := set $one "tls_client_ca" "/etc/muniment/clients/ca.crt" }}
{{- end }}
{{- if eq .senders "edge" }}
{{- $_ := set $one "tls_client_ca" (printf "%s/ca.crt" $tls) }}
{{- end }}
{{- with .as }}{{ $_ := set $one "as" . }}{{ end }}
{{- with .log }}{{ $_ := set $one "log" . }}{{ end }}
{{- with .proxyFrom }}{{ $_ := set $one "proxy_from" . }}{{ end }}
{{- $receive = append $receive $one }}
{{- end }}
{{- with $receive }}
{{- $_ := set $given "receive" . }}
{{- end }}
{{- end }}
{{- mustMergeOverwrite $given (deepCopy $v.settings) (deepCopy .values.settings) | toToml }}
{{- end }}

{{/* The description of the fleet for `muniment edge run haproxy`. */}}
{{- define "muniment.edge" -}}
{{- $v := .Values }}
{{- $name := include "muniment.fullname" . }}
{{- $server := ternary "/etc/muniment/server/tls-combined.pem" "/etc/muniment/tls/tls-combined.pem" (ne $v.edge.serverSecret "") }}
{{- $tls := dict
      "certificate" $server
      "nodes_ca" "/etc/muniment/tls/ca.crt"
      "node_certificate" "/etc/muniment/tls/tls-combined.pem" }}
{{- if $v.edge.clientsSecret }}
{{- $_ := set $tls "client_ca" "/etc/muniment/clients/ca.crt" }}
{{- $_ := set $tls "client_certificates" $v.edge.clientCertificates }}
{{- end }}
{{- $of := list }}
{{- range $service := list "nodes" "readers" }}
{{- $of = append $of (printf "dns://%s-%s.%s.svc:8470" $name $service $.Release.Namespace) }}
{{- end }}
{{- $logs := list }}
{{- range $v.logs }}
{{- $one := dict "name" . }}
{{- with get $v.residency . }}{{ $_ := set $one "residency" . }}{{ end }}
{{- $logs = append $logs $one }}
{{- end }}
{{- $given := dict
      "name" "edge"
      "listen" (dict "https" (list "0.0.0.0:8443"))
      "tls" $tls
      "members" (dict "of" $of "token" "/etc/muniment/tokens/fleet")
      "log" $logs }}
{{- range $key := list "jurisdiction" "region" }}
{{- with get $v $key }}
{{- $_ := set $given $key . }}
{{- end }}
{{- end }}
{{- $streams := list }}
{{- range $v.edge.streams }}
{{- $one := dict "protocol" .protocol "listen" (printf "0.0.0.0:%d" (int .port)) }}
{{- with .log }}{{ $_ := set $one "log" . }}{{ end }}
{{- $streams = append $streams $one }}
{{- end }}
{{- with $streams }}
{{- $_ := set $given "stream" . }}
{{- end }}
{{- mustMergeOverwrite $given (deepCopy $v.edge.settings) | toToml }}
{{- end }}
