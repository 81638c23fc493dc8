{{- define "upistream.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for what is appended to it. */}}
{{- define "upistream.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "upistream.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "upistream.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "upistream.selector" -}}
app.kubernetes.io/name: {{ include "upistream.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What the service's own pods are found by; those of tests and of the trial redis have another component. */}}
{{- define "upistream.serverSelector" -}}
{{ include "upistream.selector" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "upistream.redisSelector" -}}
{{ include "upistream.selector" . }}
app.kubernetes.io/component: redis
{{- end }}

{{- define "upistream.testSelector" -}}
{{ include "upistream.selector" . }}
app.kubernetes.io/component: test
{{- end }}

{{- define "upistream.labels" -}}
{{ include "upistream.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "upistream.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{- define "upistream.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "upistream.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{/* The Secret whose keys are files in /etc/upistream/secrets; empty where there is none. */}}
{{- define "upistream.secret" -}}
{{- if .Values.secrets.externalSecret.enabled }}{{ include "upistream.fullname" . }}-secrets{{ else }}{{ .Values.secrets.existingSecret }}{{ end }}
{{- end }}

{{- define "upistream.claim" -}}
{{- default (printf "%s-data" (include "upistream.fullname" .)) .Values.store.embedded.persistence.existingClaim }}
{{- end }}

{{/* What a container may not do: the "restricted" standard, and no writing beside its volumes. */}}
{{- define "upistream.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "upistream.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
fsGroupChangePolicy: OnRootMismatch
{{ toYaml .Values.podSecurityContext }}
{{- end }}
