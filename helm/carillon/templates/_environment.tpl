{{/*
Which environment variables does a process get, and where do its secrets come from?

A variable whose value would be the empty text is left out: the services refuse an empty value.
*/}}

{{/* What both services are told: a map of names to texts. */}}
{{- define "carillon.sharedSettings" -}}
{{- $values := .root.Values -}}
CARILLON_LISTEN: {{ printf "%s:%d" .values.ports.address (int64 .values.ports.client) | quote }}
CARILLON_OPS_LISTEN: {{ printf "%s:%d" .values.ports.address (int64 .values.ports.ops) | quote }}
CARILLON_DRAIN_DELAY_MS: {{ include "carillon.drainDelayMs" . | quote }}
CARILLON_DRAIN_MS: {{ mul (int64 .values.drain.windowSeconds) 1000 | quote }}
CARILLON_REDIS_MODE: {{ $values.redis.mode | quote }}
CARILLON_REDIS_PREFIX: {{ $values.redis.prefix | quote }}
CARILLON_TENANTS: {{ $values.auth.tenants | quote }}
CARILLON_JWT_CLOCK_SKEW_MS: {{ int64 $values.auth.clockSkewMs | quote }}
CARILLON_TENANT_METRICS: {{ int64 $values.monitoring.tenantSeries | quote }}
CARILLON_WEBHOOK_HTTP: {{ ternary "on" "off" $values.tenantUrls.http | quote }}
{{- with $values.tenantUrls.allow }}
CARILLON_WEBHOOK_ALLOW: {{ join "," . | quote }}
{{- end }}
{{- with $values.tenantUrls.ports }}
CARILLON_WEBHOOK_PORTS: {{ join "," . | quote }}
{{- end }}
CARILLON_LOG: {{ $values.log.level | quote }}
CARILLON_LOG_FORMAT: {{ $values.log.format | quote }}
{{ include "carillon.tokenSettings" .root }}
{{- with $values.auth.jwksUrl }}
CARILLON_JWKS_URL: {{ . | quote }}
{{- end }}
{{- with $values.otlp.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
CARILLON_TRACE_SAMPLES: {{ int64 $values.otlp.samplesPerThousand | quote }}
{{- end }}
{{- if include "carillon.hasPublicKeys" .root }}
CARILLON_JWT_PUBLIC_KEY_FILE: /etc/carillon/keys/keys.pem
{{- end }}
{{- end -}}

{{/* What a token must say: for those that check tokens and for those that mint one. */}}
{{- define "carillon.tokenSettings" -}}
{{- with .Values.auth.audience }}
CARILLON_JWT_AUDIENCE: {{ join "," . | quote }}
{{- end }}
{{- with .Values.auth.issuer }}
CARILLON_JWT_ISSUER: {{ join "," . | quote }}
{{- end }}
{{- end -}}

{{/*
Whom to trust, for all that speak TLS: an environment of SSL_CERT_FILE alone. The migration gets it, too: its Postgres URL
may ask for the system's authorities.
*/}}
{{- define "carillon.trustSettings" -}}
{{- with .Values.trust }}
{{- if .replacesSystem }}
SSL_CERT_FILE: {{ printf "/etc/carillon/trust/%s" .key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The authorities of one's own: a list of one volume, or of none. Takes the chart's context, as the next does. */}}
{{- define "carillon.trustVolumes" -}}
{{- with .Values.trust }}
{{- if .existingConfigMap }}
- name: trust
  configMap:
    name: {{ .existingConfigMap | quote }}
    items:
      - key: {{ .key | quote }}
        path: {{ .key | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.trustMounts" -}}
{{- if .Values.trust.existingConfigMap }}
- name: trust
  mountPath: /etc/carillon/trust
  readOnly: true
{{- end }}
{{- end -}}

{{- define "carillon.hasPublicKeys" -}}
{{- if or .Values.auth.publicKeys.inline .Values.auth.publicKeys.existingSecret }}true{{ end -}}
{{- end -}}

{{- define "carillon.gatewaySettings" -}}
{{- $root := .root -}}
{{- with .values -}}
CARILLON_ALLOWED_ORIGINS: {{ join "," .allowedOrigins | quote }}
CARILLON_QUERY_TOKEN: {{ ternary "on" "off" .queryToken | quote }}
CARILLON_COMPRESSION: {{ ternary "on" "off" .compression | quote }}
CARILLON_SOCKETIO: {{ ternary "on" "off" .socketio | quote }}
{{- if .socketioNamespaces }}
{{- $namespaces := list }}
{{- range $name, $prefix := .socketioNamespaces }}
{{- $namespaces = append $namespaces (printf "%s=%s" $name $prefix) }}
{{- end }}
CARILLON_SOCKETIO_NAMESPACES: {{ join "," $namespaces | quote }}
{{- end }}
CARILLON_MAX_CONNECTIONS: {{ int64 .connections.max | quote }}
CARILLON_MAX_CONNECTIONS_PER_IP: {{ int64 .connections.perAddress | quote }}
CARILLON_MAX_CONNECTIONS_PER_USER: {{ int64 .connections.perUser | quote }}
CARILLON_SESSIONS: {{ ternary "on" "off" .connections.stored | quote }}
CARILLON_SESSION_ADDRESSES: {{ ternary "on" "off" .connections.addressesStored | quote }}
CARILLON_HANDSHAKES_PER_SECOND: {{ int64 .connections.handshakesPerSecond | quote }}
CARILLON_FRAMES_PER_SECOND: {{ int64 .connections.framesPerSecond | quote }}
CARILLON_HEARTBEAT_MS: {{ int64 .heartbeatMs | quote }}
CARILLON_STALL_TIMEOUT_MS: {{ int64 .stallTimeoutMs | quote }}
CARILLON_HEAD_WATCH_MS: {{ int64 .headWatchMs | quote }}
CARILLON_RING_EVENTS: {{ int64 .ring.events | quote }}
CARILLON_RING_BYTES: {{ .ring.bytes | quote }}
CARILLON_RING_BUDGET_BYTES: {{ .ring.budget | quote }}
CARILLON_REPLAY_BUDGET_BYTES: {{ .replay.budget | quote }}
CARILLON_DRAIN_RATE: {{ int64 .drain.ratePerSecond | quote }}
CARILLON_REBALANCE: {{ ternary "on" "off" (include "carillon.rebalances" $root | not | not) | quote }}
CARILLON_REBALANCE_PERCENT: {{ int64 .rebalance.percentPerMinute | quote }}
{{- with .trustedProxies }}
CARILLON_TRUSTED_PROXIES: {{ join "," . | quote }}
{{- end }}
{{- if .proxyProtocol.enabled }}
CARILLON_PROXY_LISTEN: {{ printf "%s:%d" .ports.address (int64 .proxyProtocol.port) | quote }}
{{- end }}
CARILLON_PUBLISHER_URL: {{ include "carillon.publisherUrl" $root | quote }}
{{- if include "carillon.hasCanary" $root }}
CARILLON_CANARY_PUBLISH_URL: {{ include "carillon.publisherUrl" $root | quote }}
CARILLON_CANARY_TENANT: {{ .canary.tenant | quote }}
CARILLON_CANARY_INTERVAL_MS: {{ int64 .canary.intervalMs | quote }}
{{- with .canary.socketUrl }}
CARILLON_CANARY_SOCKET_URL: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "carillon.publisherSettings" -}}
CARILLON_ALLOWED_ORIGINS: {{ join "," .values.allowedOrigins | quote }}
CARILLON_RETENTION_DAYS: {{ int64 .values.retentionDays | quote }}
{{- with .values.archiveUrl }}
CARILLON_ARCHIVE_URL: {{ . | quote }}
{{- end }}
{{- with int64 .values.latestDays }}
CARILLON_LATEST_DAYS: {{ . | quote }}
{{- end }}
CARILLON_REVOCATION_DAYS: {{ int64 .values.revocationDays | quote }}
CARILLON_DEVICE_DAYS: {{ int64 .values.deviceDays | quote }}
CARILLON_SESSION_DAYS: {{ int64 .values.sessionDays | quote }}
CARILLON_ACTIVITY_DAYS: {{ int64 .values.activityDays | quote }}
CARILLON_ANALYTICS_DAYS: {{ int64 .values.analyticsDays | quote }}
CARILLON_PROJECTORS: {{ ternary "on" "off" .values.projectors | quote }}
CARILLON_OUTBOX: {{ .values.outbox | quote }}
CARILLON_NOTICE_DAYS: {{ int64 .values.noticeDays | quote }}
{{- end -}}

{{/* The secrets of a component: a list of {name: variable, secret, key}. */}}
{{- define "carillon.references" -}}
{{- $values := .root.Values -}}
{{- $login := ternary "migrator" .component (eq .component "migrate") -}}
{{- $database := index $values.database $login -}}
- {name: DATABASE_URL, secret: {{ $database.existingSecret | default $values.database.existingSecret | quote }}, key: {{ $database.key | quote }}}
{{- if ne $login "migrator" }}
{{- $redis := index $values.redis $login }}
- {name: REDIS_URL, secret: {{ $redis.existingSecret | default $values.redis.existingSecret | quote }}, key: {{ $redis.key | quote }}}
{{- with $values.auth.jwtSecret }}
{{- if .existingSecret }}
- {name: CARILLON_JWT_SECRET, secret: {{ .existingSecret | quote }}, key: {{ .key | quote }}}
{{- if .previousKey }}
- {name: CARILLON_JWT_SECRET_PREVIOUS, secret: {{ .existingSecret | quote }}, key: {{ .previousKey | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq .component "gateway") (include "carillon.hasCanary" .root) }}
{{- with $values.gateway.canary.token }}
{{- if .existingSecret }}
- {name: CARILLON_CANARY_TOKEN, secret: {{ .existingSecret | quote }}, key: {{ .key | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* One secret as a variable: its value, or the name of its file. Takes root and reference. */}}
{{- define "carillon.secretVariable" -}}
{{- if eq .root.Values.secrets.as "file" -}}
name: {{ .reference.name }}_FILE
value: /etc/carillon/secrets/{{ .reference.name }}
{{- else -}}
name: {{ .reference.name }}
valueFrom:
  secretKeyRef:
    name: {{ .reference.secret | quote }}
    key: {{ .reference.key | quote }}
{{- end -}}
{{- end -}}

{{/* Everything that the chart sets itself; extraEnv may name none of it. */}}
{{- define "carillon.ownEnvironment" -}}
{{- $scope := . -}}
{{- $settings := include "carillon.trustSettings" .root | fromYaml -}}
{{- if ne .component "migrate" }}
- name: CARILLON_NODE
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if .values.socketio }}
- name: CARILLON_PEER_ADDRESS
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
{{- end }}
{{- if ((.values.resources).requests).cpu }}
{{- /* Without it tokio starts a thread for each core of the host. Rounded up to whole cores. */}}
- name: TOKIO_WORKER_THREADS
  valueFrom:
    resourceFieldRef:
      resource: requests.cpu
      divisor: "1"
{{- end }}
{{- $settings = mergeOverwrite $settings (include "carillon.sharedSettings" . | fromYaml) }}
{{- $settings = mergeOverwrite $settings (include (printf "carillon.%sSettings" .component) . | fromYaml) }}
{{- end }}
{{- range $name, $value := $settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range include "carillon.references" . | fromYamlArray }}
- {{ include "carillon.secretVariable" (dict "root" $scope.root "reference" .) | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{- define "carillon.environment" -}}
{{- include "carillon.ownEnvironment" . }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Volumes for secrets as files, for public keys and for authorities. */}}
{{- define "carillon.ownVolumes" -}}
{{- if eq .root.Values.secrets.as "file" }}
- name: {{ .component }}-secrets
  projected:
    # 0440: the group is fsGroup.
    defaultMode: 288
    sources:
      {{- range include "carillon.references" . | fromYamlArray }}
      - secret:
          name: {{ .secret | quote }}
          items:
            - key: {{ .key | quote }}
              path: {{ .name }}
      {{- end }}
{{- end }}
{{- if and (ne .component "migrate") (include "carillon.hasPublicKeys" .root) }}
- name: public-keys
  {{- with .root.Values.auth.publicKeys }}
  {{- if .inline }}
  configMap:
    name: {{ include "carillon.fullname" $.root }}-public-keys
    items:
      - key: keys.pem
        path: keys.pem
  {{- else }}
  secret:
    secretName: {{ .existingSecret | quote }}
    defaultMode: 288
    items:
      - key: {{ .key | quote }}
        path: keys.pem
  {{- end }}
  {{- end }}
{{- end }}
{{- include "carillon.trustVolumes" .root }}
{{- end -}}

{{- define "carillon.ownMounts" -}}
{{- if eq .root.Values.secrets.as "file" }}
- name: {{ .component }}-secrets
  mountPath: /etc/carillon/secrets
  readOnly: true
{{- end }}
{{- if and (ne .component "migrate") (include "carillon.hasPublicKeys" .root) }}
- name: public-keys
  mountPath: /etc/carillon/keys
  readOnly: true
{{- end }}
{{- include "carillon.trustMounts" .root }}
{{- end -}}

{{/*
Annotations that change when what a pod mounts changes: the public keys' text, and (secrets.rollOnChange) the versions of
its Secrets and the text of its authorities. Versions, not contents: a checksum of a weak password is a clue to it.
*/}}
{{- define "carillon.checksums" -}}
{{- $root := .root -}}
{{- with $root.Values.auth.publicKeys.inline }}
checksum/public-keys: {{ sha256sum . | quote }}
{{- end }}
{{- if $root.Values.secrets.rollOnChange }}
{{- $names := dict }}
{{- range include "carillon.references" . | fromYamlArray }}{{ $_ := set $names .secret "" }}{{ end }}
{{- with $root.Values.auth.publicKeys.existingSecret }}{{ $_ := set $names . "" }}{{ end }}
{{- $versions := list }}
{{- range $name := keys $names | sortAlpha }}
{{- with lookup "v1" "Secret" $root.Release.Namespace $name }}
{{- $versions = append $versions (printf "%s=%s/%s" $name .metadata.uid .metadata.resourceVersion) }}
{{- end }}
{{- end }}
{{- with $versions }}
checksum/secrets: {{ join "," . | sha256sum | quote }}
{{- end }}
{{- with $root.Values.trust }}
{{- if .existingConfigMap }}
{{- with lookup "v1" "ConfigMap" $root.Release.Namespace .existingConfigMap }}
checksum/trust: {{ dig "data" $root.Values.trust.key "" . | sha256sum | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
