{{- define "muniment.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 40 characters at most: what is appended has to fit into the 63 of a label. */}}
{{- define "muniment.fullname" -}}
{{- $name := include "muniment.name" . }}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $whole .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Takes (dict "root" $ "part" "ingest"). */}}
{{- define "muniment.selector" -}}
app.kubernetes.io/name: {{ include "muniment.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "muniment.labels" -}}
{{ include "muniment.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: muniment
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Takes (dict "root" $ "image" .Values.image). */}}
{{- define "muniment.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end }}
{{- end }}

{{- define "muniment.serviceAccount" -}}
{{- default (include "muniment.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{/* The Secrets with the certificate of a part: the given one, else the one cert-manager fills. */}}
{{- define "muniment.nodeSecret" -}}
{{- if eq .Values.tls.source "secrets" -}}
{{ required "tls.nodeSecret: with tls.source=secrets, name a Secret with tls.crt, tls.key and ca.crt" .Values.tls.nodeSecret }}
{{- else -}}
{{ include "muniment.fullname" . }}-node-tls
{{- end }}
{{- end }}

{{- define "muniment.edgeSecret" -}}
{{- if eq .Values.tls.source "secrets" -}}
{{ required "tls.edgeSecret: with tls.source=secrets and an edge, name a Secret with tls.crt, tls.key and ca.crt" .Values.tls.edgeSecret }}
{{- else -}}
{{ include "muniment.fullname" . }}-edge-tls
{{- end }}
{{- end }}

{{/* Of who calls the nodes and is neither node nor edge: `ingress`, `metrics`. They have no right. */}}
{{- define "muniment.callerSecret" -}}
{{- if .given -}}
{{ .given }}
{{- else if eq .root.Values.tls.source "secrets" -}}
{{ fail (printf "%s: with tls.source=secrets, name a Secret with tls.crt, tls.key and ca.crt" .key) }}
{{- else -}}
{{ include "muniment.fullname" .root }}-{{ .part }}-tls
{{- end }}
{{- end }}

{{/* What every pod has; takes (dict "root" $ "part" "ingest" "values" .Values.ingest). */}}
{{- define "muniment.pod" -}}
{{- $root := .root }}
serviceAccountName: {{ include "muniment.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml $root.Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "muniment.selector" . | nindent 8 }}
affinity:
  podAntiAffinity:
    {{- if eq .values.spread "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "muniment.selector" . | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "muniment.selector" . | nindent 14 }}
    {{- end }}
{{- end }}

{{- define "muniment.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}
