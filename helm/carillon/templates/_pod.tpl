{{/*
What does a pod of a service look like? Gateways and publishers differ in their environment, their ports and how long
they take to leave; everything else is the same, and written once.
*/}}

{{- define "carillon.pod" -}}
serviceAccountName: {{ include "carillon.serviceAccountName" . }}
automountServiceAccountToken: false
# Variables like CARILLON_GATEWAY_PORT, made from Services, would be taken for configuration.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "carillon.gracePeriod" . }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- include "carillon.placement" . }}
{{- $migrates := and (eq .component "publisher") (eq .root.Values.migrations.mode "init") }}
{{- if or $migrates .values.extraInitContainers }}
initContainers:
  {{- if $migrates }}
  - {{ include "carillon.migrateContainer" .root | nindent 4 | trim }}
  {{- end }}
  {{- with .values.extraInitContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  - {{ include "carillon.container" . | nindent 4 | trim }}
  {{- with .values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $volumes := include "carillon.ownVolumes" . | fromYamlArray }}
{{- if $migrates }}
{{- /* Both have the authorities' volume. */}}
{{- $volumes = concat $volumes (include "carillon.ownVolumes" (dict "root" .root "component" "migrate") | fromYamlArray) | uniq }}
{{- end }}
{{- with concat $volumes .values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "carillon.placement" -}}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  {{- /* Counted within one ReplicaSet: else the old pods of an update decide where the new ones go. */}}
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "carillon.selector" $ | fromYaml)) "matchLabelKeys" (list "pod-template-hash") }}
  - {{ mergeOverwrite $own . | toYaml | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.container" -}}
name: {{ .component }}
image: {{ include "carillon.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: ["serve"]
securityContext:
  {{- toYaml .values.securityContext | nindent 2 }}
env:
  {{- include "carillon.environment" . | trim | nindent 2 }}
{{- with .values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: client
    containerPort: {{ int64 .values.ports.client }}
  - name: ops
    containerPort: {{ int64 .values.ports.ops }}
  {{- if (.values.proxyProtocol).enabled }}
  - name: proxy
    containerPort: {{ int64 .values.proxyProtocol.port }}
  {{- end }}
startupProbe:
  {{- include "carillon.probe" (dict "path" "/livez" "probe" .values.probes.startup) | nindent 2 }}
readinessProbe:
  {{- include "carillon.probe" (dict "path" "/readyz" "probe" .values.probes.readiness) | nindent 2 }}
livenessProbe:
  {{- include "carillon.probe" (dict "path" "/livez" "probe" .values.probes.liveness) | nindent 2 }}
{{- if and (include "carillon.sleeps" .root) (gt (int64 .values.drain.preStopSeconds) 0) }}
# Endpoints forget the pod while it still serves; then SIGTERM begins the drain.
lifecycle:
  preStop:
    sleep:
      seconds: {{ int64 .values.drain.preStopSeconds }}
{{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- $mounts := include "carillon.ownMounts" . | fromYamlArray }}
{{- with concat $mounts .values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "carillon.probe" -}}
httpGet:
  path: {{ .path }}
  port: ops
periodSeconds: {{ int64 .probe.periodSeconds }}
timeoutSeconds: {{ int64 .probe.timeoutSeconds }}
failureThreshold: {{ int64 .probe.failureThreshold }}
{{- end -}}

{{/* The migration, as a Job's container or as an init container. Takes the chart's context. */}}
{{- define "carillon.migrateContainer" -}}
{{- $scope := dict "root" . "component" "migrate" "values" .Values.migrations -}}
name: migrate
image: {{ include "carillon.image" (dict "root" . "component" "publisher") }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["migrate"]
securityContext:
  {{- toYaml .Values.publisher.securityContext | nindent 2 }}
env:
  {{- include "carillon.environment" $scope | trim | nindent 2 }}
resources:
  {{- toYaml .Values.migrations.resources | nindent 2 }}
{{- with include "carillon.ownMounts" $scope | fromYamlArray }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
