{{/*
The service's configuration. What the chart decides (addresses, paths, the store's kind) is put over `config`; the schema
refuses those settings there, so nothing that was said is dropped.
*/}}
{{- define "upistream.config" -}}
{{- include "upistream.checks" . }}
{{- $values := .Values }}
{{- $config := deepCopy $values.config }}
{{- $owned := dict
  "grpc" (dict "listen" (printf "0.0.0.0:%d" (int $values.grpc.port)))
  "webhooks" (dict "listen" (printf "0.0.0.0:%d" (int $values.service.webhooks.port)) "trusted_proxies" $values.webhooks.trustedProxies)
  "admin" (dict "listen" (printf "0.0.0.0:%d" (int $values.service.admin.port)))
  "store" (dict "partitions" $values.store.partitions)
}}
{{- if $values.grpc.tls.existingSecret }}
{{- $tls := dict "cert_file" "/etc/upistream/tls/tls.crt" "key_file" "/etc/upistream/tls/tls.key" }}
{{- with $values.grpc.tls.clientCertificate }}
{{- $_ := set $tls "client_certificate" . }}
{{- $_ := set $tls "client_ca_file" "/etc/upistream/tls/ca.crt" }}
{{- end }}
{{- $_ := set $owned.grpc "tls" $tls }}
{{- end }}
{{- if eq $values.store.backend "embedded" }}
{{- $_ := set $owned.store "embedded" (dict "path" "/var/lib/upistream/upistream.db") }}
{{- else }}
{{- $redis := deepCopy $values.store.redis }}
{{- if $values.trialRedis.enabled }}{{ $_ := set $redis "urls" (list (printf "redis://%s-redis:6379" (include "upistream.fullname" .))) }}{{ end }}
{{- $_ := set $owned.store "redis" $redis }}
{{- end }}
{{- if $values.mandateRules }}{{ $_ := set $owned "mandates" (dict "rules_file" "/etc/upistream/config/mandate-rules.toml") }}{{ end }}
{{- with $values.accounts }}{{ $_ := set $owned "accounts" . }}{{ end }}
{{- with $values.callers }}{{ $_ := set $owned "callers" . }}{{ end }}
{{- if and (hasKey $config "sandbox") (not (hasKey $config.sandbox "state_file")) }}{{ $_ := set $config.sandbox "state_file" "/var/lib/upistream/sandbox.json" }}{{ end }}
{{- /* EnKash is told with each order where to call back. */}}
{{- if and $values.ingress.enabled (not (dig "webhooks" "public_url" "" $config)) }}{{ $_ := set $owned.webhooks "public_url" (printf "https://%s" $values.ingress.host) }}{{ end }}
{{- $toml := include "upistream.toml" (dict "path" list "tree" (mergeOverwrite $config (deepCopy $owned))) }}
{{- if and (contains "\"/etc/upistream/secrets/" $toml) (not (include "upistream.secret" .)) }}
{{- fail "the configuration names files of /etc/upistream/secrets, but there is no Secret for them: name `secrets.existingSecret`, or switch `secrets.externalSecret` on" }}
{{- end }}
{{- $toml }}
{{- end }}

{{/* Seconds until a pod that is told to end is killed: the drain, rounded up, and what follows it. */}}
{{- define "upistream.graceSeconds" -}}
{{- $delay := int (dig "drain" "delay_ms" 5000 .Values.config) }}
{{- $limit := int (dig "drain" "limit_ms" 25000 .Values.config) }}
{{- add (div (add $delay $limit 999) 1000) (int .Values.terminationGraceMarginSeconds) }}
{{- end }}

{{/* The ports at which redis is, as a JSON list. */}}
{{- define "upistream.redisPorts" -}}
{{- $ports := list }}
{{- range .Values.store.redis.urls }}
{{- if hasPrefix "redis" . }}
{{- $port := regexFind ":[0-9]+$" (regexFind "^[a-z]+://[^/]+" .) | trimPrefix ":" }}
{{- $ports = append $ports (int (default "6379" $port)) }}
{{- end }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* What the schema can't say, since it stands between values that are each fine. */}}
{{- define "upistream.checks" -}}
{{- if not (or .Values.insecure (and .Values.callers .Values.grpc.tls.existingSecret)) }}
{{- fail "nobody could call safely: name `callers` and a certificate (`grpc.tls.existingSecret`), or, for a trial that no money moves through, set `insecure: true`" }}
{{- end }}
{{- if and (not .Values.accounts) (not (hasKey .Values.config "sandbox")) }}
{{- fail "no account: name `accounts`, or, for a trial, switch the simulated providers on with `config.sandbox: {}` (embedded store only)" }}
{{- end }}
{{- if and .Values.grpc.tls.clientCertificate (not .Values.grpc.tls.existingSecret) }}
{{- fail "`grpc.tls.clientCertificate` needs `grpc.tls.existingSecret`" }}
{{- end }}
{{- $ports := list .Values.grpc.port .Values.service.webhooks.port .Values.service.admin.port }}
{{- if ne (len (uniq $ports)) 3 }}
{{- fail "`grpc.port`, `service.webhooks.port` and `service.admin.port` are three listeners: give each its own port" }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "`autoscaling.minReplicas` is above `autoscaling.maxReplicas`" }}
{{- end }}
{{- range $name, $caller := .Values.callers }}
{{- if and $caller.identities (not $.Values.grpc.tls.clientCertificate) }}
{{- fail (printf "`callers.%s.identities` are names in certificates, but nobody is asked for one: set `grpc.tls.clientCertificate` to optional or required" $name) }}
{{- end }}
{{- end }}
{{- if and (dig "telemetry" "otlp_endpoint" "" .Values.config) .Values.networkPolicy.enabled (not .Values.networkPolicy.collectorTo) }}
{{- fail "`config.telemetry.otlp_endpoint` names a collector that the network policy does not lead to: name it in `networkPolicy.collectorTo`, and its port in `networkPolicy.collectorPorts`" }}
{{- end }}
{{- /* Here, since a schema's message would show the password. */}}
{{- range .Values.store.redis.urls }}
{{- if contains "@" . }}{{ fail "`store.redis.urls` holds credentials: they go into `store.redis.username` and `store.redis.password`" }}{{ end }}
{{- end }}
{{- range $name, $account := .Values.accounts }}
{{- if and $.Values.ingress.enabled (dig "oqpay" "callbacks_prove" false $account) (not $.Values.webhooks.trustedProxies) }}
{{- fail (printf "`accounts.%s.oqpay.callbacks_prove` believes callbacks by their address, but behind the ingress each comes from the controller: name its networks in `webhooks.trustedProxies`" $name) }}
{{- end }}
{{- end }}
{{- end }}
