{{/*
What are the objects called, and how do they find each other?

Most templates take a scope: {root: the chart's context, component: gateway | publisher | balancer | migrate | probe, values: the
component's values}.
*/}}

{{- define "carillon.fullname" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) -}}
{{- /* 40 leave room for "-gateway-ops" and a ReplicaSet's suffixes within the 63 of a label. */ -}}
{{- .Values.fullnameOverride | default $whole | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "carillon.name" -}}
{{- printf "%s-%s" (include "carillon.fullname" .root) .component -}}
{{- end -}}

{{/* The labels by which Services, budgets and policies choose pods. They never change: a Deployment's are immutable. */}}
{{- define "carillon.selector" -}}
app.kubernetes.io/name: {{ .root.Values.nameOverride | default .root.Chart.Name | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "carillon.labels" -}}
{{- $own := include "carillon.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "carillon" -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- mergeOverwrite (deepCopy .root.Values.commonLabels) (.further | default dict) $own | toYaml -}}
{{- end -}}

{{/* Pods: without the chart's and the program's version, which would restart them for nothing. */}}
{{- define "carillon.podLabels" -}}
{{- $own := include "carillon.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "carillon" -}}
{{- mergeOverwrite (deepCopy .root.Values.commonLabels) (.values.podLabels | default dict) $own | toYaml -}}
{{- end -}}

{{/* `annotations:` with the common ones and those given as .further; nothing when there are none. */}}
{{- define "carillon.annotations" -}}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (.further | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* metadata of one object. Scope, and optionally: name, further (annotations), labels. */}}
{{- define "carillon.metadata" -}}
name: {{ .name | default (include "carillon.name" .) }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "carillon.labels" (dict "root" .root "component" .component "further" .labels) | nindent 2 }}
{{- include "carillon.annotations" . }}
{{- end -}}

{{/* Takes root and the component whose image it is. */}}
{{- define "carillon.image" -}}
{{- $image := (index .root.Values .component).image -}}
{{- $name := $image.repository -}}
{{- with .root.Values.image.registry }}{{ $name = printf "%s/%s" . $name }}{{ end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "carillon.serviceAccountName" -}}
{{- $account := .values.serviceAccount -}}
{{- $account.name | default (ternary (include "carillon.name" .) "default" $account.create) -}}
{{- end -}}

{{/* Base URL of the publishers inside the cluster. */}}
{{- define "carillon.publisherUrl" -}}
{{- $service := include "carillon.name" (dict "root" . "component" "publisher") -}}
{{- printf "http://%s:%d" $service (int64 .Values.publisher.service.port) -}}
{{- end -}}

{{/* URL of the gateways' WebSocket inside the cluster. */}}
{{- define "carillon.socketUrl" -}}
{{- $service := include "carillon.name" (dict "root" . "component" "gateway") -}}
{{- printf "ws://%s:%d/v1/ws" $service (int64 .Values.gateway.service.port) -}}
{{- end -}}

{{/* Where an Ingress or HTTPRoute sends what is for a component: to the balancer where there is one. Takes root and component. */}}
{{- define "carillon.wayIn" -}}
{{- $to := ternary "balancer" .component .root.Values.balancer.enabled -}}
name: {{ include "carillon.name" (dict "root" .root "component" $to) }}
port: {{ int64 (index .root.Values $to).service.port }}
{{- end -}}

{{/* The paths that gateways answer, as a list; publishers answer all others (docs/PROTOCOL.md). */}}
{{- define "carillon.gatewayPaths" -}}
["/v1/ws", "/ws", "/v1/sse", "/v1/poll", "/v1/commands", "/socket.io/", "/socket.io"]
{{- end -}}
