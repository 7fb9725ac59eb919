{{- define "fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name }}
{{- else -}}
{{ .Release.Name }}-{{ .Chart.Name }}
{{- end }}
{{- end }}

{{- define "selectorLabels" -}}
app: {{ .Chart.Name }}
release: {{ .Release.Name }}
component: {{ .Values.localpv.name }}
{{- end }}

{{- define "labels" -}}
chart: {{ .Chart.Name }}-{{ .Chart.Version }}
heritage: {{ .Release.Service }}
{{ include "selectorLabels" . }}
openebs.io/component-name: openebs-{{ .Values.localpv.name }}
{{- end }}

{{/* A whole image reference from registry, repository and tag. */}}
{{- define "image" -}}
{{ with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .repository }}:{{ .tag }}
{{- end }}
