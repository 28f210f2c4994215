{{- define "signer.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "signer.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "signer.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "signer.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "signer.selectorLabels" -}}
app.kubernetes.io/name: {{ include "signer.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "signer.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "signer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "signer.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "signer.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Whether others than the pod itself may reach the admin listener: not empty. */}}
{{- define "signer.adminIsReachable" -}}
{{- if or .Values.admin.token.secret (dig "admin" "tls" "clientCa" "" .Values.config) }}yes{{ end }}
{{- end }}

{{- define "signer.scheme" -}}
{{- if dig "server" "tls" "" .Values.config }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{/* signer.yaml: the values' config, and what the chart decides. As JSON, which is YAML too: toYaml leaves 0x… unquoted, a number. */}}
{{- define "signer.config" -}}
{{- $admin := dict "listen" (printf "127.0.0.1:%v" .Values.admin.port) }}
{{- if include "signer.adminIsReachable" . }}
{{- $_ := set $admin "listen" (printf "0.0.0.0:%v" .Values.admin.port) }}
{{- end }}
{{- if .Values.admin.token.secret }}
{{- $_ := set $admin "token" "file:/run/secrets/livepeer-hsm-signer/admin/token" }}
{{- end }}
{{- $decided := dict "server" (dict "listen" "0.0.0.0:7936") "admin" $admin }}
{{- if .Values.policy }}
{{- $_ := set $decided "policy" (dict "file" "/etc/livepeer-hsm-signer/policy/policy.yaml") }}
{{- end }}
{{- mustMergeOverwrite (deepCopy .Values.config) $decided | toPrettyJson }}
{{- end }}

{{/* Refuses what would run and be wrong. */}}
{{- define "signer.refuse" -}}
{{- if not .Values.config }}
{{- fail "config is empty: begin with a file of examples/" }}
{{- end }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- if ne (dig "store" "kind" "embedded" .Values.config) "redis" }}
{{- fail "with more than one instance config.store.kind must be redis: each would have limits and answers of its own" }}
{{- end }}
{{- range .Values.config.keys }}
{{- if .generateIfMissing }}
{{- fail "with more than one instance config.keys must not have generateIfMissing: each would make a key of its own" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not (include "signer.adminIsReachable" .)) }}
{{- fail "serviceMonitor needs admin.token.secret or config.admin.tls.clientCa: without them the admin listener is the pod's own" }}
{{- end }}
{{- end }}
