{{/*
The container of a node, and the volumes that it mounts; they take
(dict "root" $ "part" "ingest" "values" .Values.ingest "url" "https://...").
*/}}
{{- define "muniment.node" -}}
{{- $v := .root.Values }}
- name: muniment
  image: {{ include "muniment.image" (dict "root" .root "image" $v.image) }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  args: [serve, --config, /etc/muniment/settings/{{ .part }}.toml]
  env:
    - name: MUNIMENT_NODE
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_IP
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
    - name: MUNIMENT_FLEET
      value: {{ dict "url" .url | toJson | quote }}
    - {name: TMPDIR, value: /tmp}
    {{- with .values.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.storeSecret }}
  envFrom:
    - secretRef: {name: {{ . }}}
  {{- end }}
  ports:
    - {name: https, containerPort: 8470}
    - {name: probe, containerPort: 8471}
    {{- if eq .part "ingest" }}
    {{- range $v.ingest.listeners }}
    - {name: {{ .name }}, containerPort: {{ .port }}}
    {{- end }}
    {{- end }}
  # A start reads back what a crash left, and an index may be rebuilt: an hour is for that.
  startupProbe:
    httpGet: {path: /healthz, port: probe}
    periodSeconds: 5
    failureThreshold: 720
  livenessProbe:
    httpGet: {path: /healthz, port: probe}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /readyz, port: probe}
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 2
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    {{- include "muniment.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: data, mountPath: /var/lib/muniment}
    - {name: tmp, mountPath: /tmp}
    - {name: settings, mountPath: /etc/muniment/settings, readOnly: true}
    - {name: tls, mountPath: /etc/muniment/tls, readOnly: true}
    - {name: tokens, mountPath: /etc/muniment/tokens, readOnly: true}
    {{- if and (eq .part "ingest") $v.tls.clientsSecret }}
    - {name: clients, mountPath: /etc/muniment/clients, readOnly: true}
    {{- end }}
    {{- if and (eq .part "ingest") $v.takeoverSecret }}
    - {name: takeover, mountPath: /etc/muniment/takeover, readOnly: true}
    {{- end }}
{{- end }}

{{- define "muniment.volumes" -}}
{{- $v := .root.Values }}
- name: tmp
  emptyDir: {sizeLimit: 1Gi}
- name: settings
  configMap: {name: {{ include "muniment.fullname" .root }}}
- name: tls
  secret: {secretName: {{ include "muniment.nodeSecret" .root }}, defaultMode: 0440}
- name: tokens
  secret: {secretName: {{ $v.tokensSecret }}, defaultMode: 0440}
{{- if eq .part "ingest" }}
{{- with $v.tls.clientsSecret }}
- name: clients
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- with $v.takeoverSecret }}
- name: takeover
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end }}
{{- end }}
