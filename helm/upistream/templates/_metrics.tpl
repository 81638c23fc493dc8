{{/* The names of the service's metrics: here, and nowhere else in the chart. */}}
{{- define "upistream.metrics" -}}
webhooks: upistream_webhooks_total
webhooksRefused: upistream_webhooks_refused_total
contradictions: upistream_contradictions_total
quarantined: upistream_quarantined
settlementBreaks: upistream_settlement_breaks_open
reconcilerSteps: upistream_reconciler_steps_total
leaseTakeovers: upistream_lease_takeovers_total
doubtAge: upistream_doubt_oldest_seconds
eventsAppended: upistream_events_appended_total
subscribers: upistream_subscribers
subscriberLag: upistream_subscriber_lag_events
storeUp: upistream_store_up
storeMemory: upistream_store_memory_percent
providerUnanswered: upistream_provider_unanswered_total
providerDuration: upistream_provider_call_duration_seconds
providerErrors: upistream_provider_errors_total
breakerOpen: upistream_provider_breaker_open
tokenLogins: upistream_token_logins_total
rpcDuration: rpc_server_call_duration_seconds
{{- end }}

{{/*
The series of this release alone, by what the ServiceMonitor makes Prometheus write beside them.
Takes { root, metric (a key above), suffix, matchers }.
*/}}
{{- define "upistream.series" -}}
{{- $name := get (include "upistream.metrics" .root | fromYaml) .metric }}
{{- if not $name }}{{ fail (printf "no metric `%s`" .metric) }}{{ end }}
{{- $matchers := list (printf "namespace=%q" .root.Release.Namespace) (printf "job=%q" (printf "%s-admin" (include "upistream.fullname" .root))) }}
{{- with .matchers }}{{ $matchers = append $matchers . }}{{ end }}
{{- printf "%s%s{%s}" $name (default "" .suffix) (join "," $matchers) }}
{{- end }}

{{/*
By how much a counter rose, summed up. A counter that was never touched has no series, and increase() does not see the step from
nothing to one, which is the one that matters where one is too many: a series that is new in the window counts as a whole.
Takes { root, metric, matchers, by, window }.
*/}}
{{- define "upistream.risen" -}}
{{- $series := include "upistream.series" . -}}
sum by ({{ .by }}) (({{ $series }} unless {{ $series }} offset {{ .window }}) or increase({{ $series }}[{{ .window }}]))
{{- end }}
