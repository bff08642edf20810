{{/*
Who is a peer, and what is a rule for the way out?
*/}}

{{/* Pods of one component, as a peer. */}}
{{- define "carillon.peer" -}}
podSelector:
  matchLabels:
    {{- include "carillon.selector" . | nindent 4 }}
{{- end -}}

{{/* One rule for the way out: ports, protocols (TCP), to (anywhere). */}}
{{- define "carillon.egress" -}}
{{- $protocols := .protocols | default (list "TCP") -}}
- ports:
    {{- range $port := .ports }}
    {{- range $protocols }}
    - {port: {{ int64 $port }}, protocol: {{ . }}}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
