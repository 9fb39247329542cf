{{/* What ingest nodes answer, by the beginning of its path. See src/muniment/edge/paths.py. */}}
{{- define "muniment.prefixes" -}}
[/v1/logs, /_bulk, /loki, /services/collector, /kubernetes/audit, /cloudevents, /capture, /in, /api/v1/tokens, /api/v1/stores]
{{- end }}

{{/* The rest of it, as a regular expression that a whole path matches. */}}
{{- define "muniment.writes" -}}
/api/v1/logs/[^/]+/(entries|attachments|retention|holds(/[^/]+)?)
{{- end }}
