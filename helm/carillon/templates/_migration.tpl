{{/*
How does the migration run: what is a hook, and what is the Job's pod?
*/}}

{{/* In hook mode the Job, its account and its policy exist before anything else, and are gone after success. */}}
{{- define "carillon.hookAnnotations" -}}
{{- if eq .root.Values.migrations.mode "hook" }}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
{{- end -}}

{{/* Takes a scope whose component is migrate. */}}
{{- define "carillon.migratePod" -}}
metadata:
  labels:
    {{- include "carillon.podLabels" . | nindent 4 }}
  {{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) .values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "carillon.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    {{- toYaml .root.Values.publisher.podSecurityContext | nindent 4 }}
  {{- with .values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{ include "carillon.migrateContainer" .root | nindent 6 | trim }}
  {{- with include "carillon.ownVolumes" . | fromYamlArray }}
  volumes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
