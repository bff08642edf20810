{{/*
What follows from the numbers in the values: seconds of a drain, replicas, connections per pod, bytes?

Values come as 64-bit floats, which print as 1e+06: every number goes through int64 before it is text.
*/}}

{{/* Whether kubelets know the sleep action of preStop: on by default from 1.30. An image without a shell has no other. */}}
{{- define "carillon.sleeps" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}true{{ end -}}
{{- end -}}

{{/*
Milliseconds from readiness off to the first goaway of a gateway, to the first refusal of a publisher. Where preStop cannot
sleep, the process waits that time, too.
*/}}
{{- define "carillon.drainDelayMs" -}}
{{- $drain := .values.drain -}}
{{- $seconds := int64 $drain.delaySeconds -}}
{{- if not (include "carillon.sleeps" .root) }}{{ $seconds = add $seconds (int64 $drain.preStopSeconds) }}{{ end -}}
{{- mul $seconds 1000 -}}
{{- end -}}

{{/* Seconds a pod needs to leave: preStop + delay + window, 5 s to close what is left, and the margin. */}}
{{- define "carillon.leavingSeconds" -}}
{{- $drain := .values.drain -}}
{{- $sum := add (int64 $drain.preStopSeconds) (int64 $drain.delaySeconds) (int64 $drain.windowSeconds) -}}
{{- add $sum 5 (int64 $drain.marginSeconds) -}}
{{- end -}}

{{- define "carillon.gracePeriod" -}}
{{- $given := int64 .values.terminationGracePeriodSeconds -}}
{{- if $given }}{{ $given }}{{ else }}{{ include "carillon.leavingSeconds" . }}{{ end -}}
{{- end -}}

{{/* Most pods that may be wanted, and fewest. */}}
{{- define "carillon.mostReplicas" -}}
{{- ternary .values.replicas .values.autoscaling.maxReplicas (eq .values.autoscaling.kind "none") | int64 -}}
{{- end -}}
{{- define "carillon.fewestReplicas" -}}
{{- ternary .values.replicas .values.autoscaling.minReplicas (eq .values.autoscaling.kind "none") | int64 -}}
{{- end -}}

{{/* Pods that one wave of an update replaces. A percentage of a surge is rounded up, one of unavailability down. */}}
{{- define "carillon.wave" -}}
{{- $replicas := include "carillon.mostReplicas" . | int64 -}}
{{- $wave := 0 -}}
{{- with toString .values.strategy.maxSurge -}}
  {{- if hasSuffix "%" . }}{{ $wave = div (add (mul $replicas (trimSuffix "%" . | int64)) 99) 100 }}{{ else }}{{ $wave = int64 . }}{{ end -}}
{{- end -}}
{{- with toString .values.strategy.maxUnavailable -}}
  {{- if hasSuffix "%" . }}{{ $wave = add $wave (div (mul $replicas (trimSuffix "%" . | int64)) 100) }}{{ else }}{{ $wave = add $wave (int64 .) }}{{ end -}}
{{- end -}}
{{- max 1 $wave -}}
{{- end -}}

{{/* Seconds that a whole update takes when nothing goes wrong: waves of start, readiness and minReadySeconds. */}}
{{- define "carillon.updateSeconds" -}}
{{- $wave := include "carillon.wave" . | int64 -}}
{{- $waves := div (add (include "carillon.mostReplicas" . | int64) (sub $wave 1)) $wave -}}
{{- mul $waves (add 30 (int64 .values.minReadySeconds)) -}}
{{- end -}}

{{/* Longer than a whole update and the slowest start, and never below Kubernetes' own ten minutes. */}}
{{- define "carillon.progressDeadline" -}}
{{- $given := int64 .values.progressDeadlineSeconds -}}
{{- $startup := mul (int64 .values.probes.startup.periodSeconds) (int64 .values.probes.startup.failureThreshold) -}}
{{- $computed := max 600 (add $startup (include "carillon.updateSeconds" .)) -}}
{{- ternary $given $computed (gt $given 0) -}}
{{- end -}}

{{/* Connections per gateway that an autoscaler aims at. */}}
{{- define "carillon.targetConnections" -}}
{{- $gateway := .Values.gateway -}}
{{- max 1 (div (mul (int64 $gateway.connections.max) (int64 $gateway.autoscaling.connectionsPercent)) 100) -}}
{{- end -}}

{{/* MiB, rounded down, of a Kubernetes quantity (1Gi, 512Mi, 1.5G, 1048576) or a size of ours (256MiB). */}}
{{- define "carillon.mebibytes" -}}
{{- $text := kindIs "string" . | ternary . (int64 . | toString) -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexReplaceAll "^[0-9.]+" $text "" | trimSuffix "B" -}}
{{- $amount := regexFind "^[0-9.]+" $text | float64 -}}
{{- divf (mulf $amount (index $factors $unit | default 1 | float64)) 1048576.0 | floor | int64 -}}
{{- end -}}

{{/*
MiB that a full gateway may need: 64 for the process, the two budgets, and 8 KiB a connection. An idle one was measured
at 1.2 KB in the process; the rest is its socket in the kernel, which the container's limit counts, too.
*/}}
{{- define "carillon.gatewayMebibytes" -}}
{{- $gateway := .Values.gateway -}}
{{- $budgets := add (include "carillon.mebibytes" $gateway.ring.budget | int64) (include "carillon.mebibytes" $gateway.replay.budget | int64) -}}
{{- add 64 $budgets (div (mul (int64 $gateway.connections.max) 8) 1024) -}}
{{- end -}}

{{/* Port of a URL, by its scheme when it names none. */}}
{{- define "carillon.urlPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Resolves "auto | always | never"; takes mode and the answer that auto gives. */}}
{{- define "carillon.decide" -}}
{{- if or (eq .mode "always") (and (eq .mode "auto") .auto) }}true{{ end -}}
{{- end -}}

{{- define "carillon.rebalances" -}}
{{- $scope := dict "values" .Values.gateway -}}
{{- include "carillon.decide" (dict "mode" .Values.gateway.rebalance.mode "auto" (gt (include "carillon.mostReplicas" $scope | int64) 1)) -}}
{{- end -}}

{{- define "carillon.hasCanaryToken" -}}
{{- if or .Values.gateway.canary.token.existingSecret .Values.auth.jwtSecret.existingSecret }}true{{ end -}}
{{- end -}}

{{- define "carillon.hasCanary" -}}
{{- include "carillon.decide" (dict "mode" .Values.gateway.canary.mode "auto" (include "carillon.hasCanaryToken" .)) -}}
{{- end -}}

{{- define "carillon.hasBudget" -}}
{{- include "carillon.decide" (dict "mode" .values.pdb.mode "auto" (gt (include "carillon.fewestReplicas" . | int64) 1)) -}}
{{- end -}}

{{/* The helm test can run when a token can be had. */}}
{{- define "carillon.hasTest" -}}
{{- if and .Values.tests.enabled (or .Values.tests.token.existingSecret (include "carillon.hasCanaryToken" .)) }}true{{ end -}}
{{- end -}}
