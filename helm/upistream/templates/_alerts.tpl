{{/* What calls a person, the worst first. Each says what is known and what to do; thresholds stand in the values. */}}
{{- define "upistream.alerts" -}}
{{- $at := .Values.metrics.prometheusRule.thresholds }}
{{- $window := $at.window }}
- alert: UpistreamContradiction
  expr: {{ include "upistream.risen" (dict "root" . "metric" "contradictions" "by" "account, fact" "window" $window) }} > 0
  labels: { severity: critical }
  annotations:
    summary: A fact of account {{`{{ $labels.account }}`}} contradicts its record.
    description: It was not applied, and refunds and debits of that payment or mandate wait. `upistream admin doubts` shows it; look at the provider's dashboard, then `upistream admin resolve`.
- alert: UpistreamOutcomeUnknown
  expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "doubtAge") }}) > {{ int64 $at.doubtAgeSeconds }}
  for: 5m
  labels: { severity: critical }
  annotations:
    summary: Of account {{`{{ $labels.account }}`}} something has been unknown for {{`{{ $value | humanizeDuration }}`}}.
    description: Nobody knows whether money moved. Don't send it again under another key. `upistream admin doubts` says what only a person can decide.
- alert: UpistreamStoreDown
  expr: min by (pod) ({{ include "upistream.series" (dict "root" . "metric" "storeUp") }}) < 1
  for: 1m
  labels: { severity: critical }
  annotations:
    summary: The store does not answer {{`{{ $labels.pod }}`}}.
    description: Mutations are refused as not sent, callbacks are answered 503. It heals by itself once the store is back.
- alert: UpistreamSilent
  expr: absent({{ include "upistream.series" (dict "root" . "metric" "storeUp") }})
  for: 5m
  labels: { severity: critical }
  annotations:
    summary: No replica of {{ include "upistream.fullname" . }} gives metrics.
    description: The service is down, or nobody asks it; no other alert here can fire either.
- alert: UpistreamStoreMemoryHigh
  expr: max({{ include "upistream.series" (dict "root" . "metric" "storeMemory") }}) > {{ int64 $at.storeMemoryPercent }}
  for: 10m
  labels: { severity: warning }
  annotations:
    summary: Redis uses {{`{{ $value }}`}} % of its maxmemory.
    description: At 100 % mutations are refused. Give it more memory, or keep records for less time (store.redis.retention_at_rest).
- alert: UpistreamWebhooksRefused
  expr: {{ include "upistream.risen" (dict "root" . "metric" "webhooksRefused" "matchers" `account!="unknown"` "by" "account, reason" "window" $window) }} > 0
  labels: { severity: warning }
  annotations:
    summary: Callbacks to account {{`{{ $labels.account }}`}} are refused ({{`{{ $labels.reason }}`}}).
    description: Each may be a lost fact. A signing secret that was changed at the provider alone is the usual reason.
- alert: UpistreamNoWebhooks
  expr: (sum by (account) (increase({{ include "upistream.series" (dict "root" . "metric" "webhooks") }}[{{ $at.noWebhooksFor }}] offset 1d)) >= {{ int64 $at.webhooksTheDayBefore }}) unless ({{ include "upistream.risen" (dict "root" . "metric" "webhooks" "by" "account" "window" $at.noWebhooksFor) }} > 0)
  for: 10m
  labels: { severity: warning }
  annotations:
    summary: Account {{`{{ $labels.account }}`}} has had no callback for {{ $at.noWebhooksFor }}, but {{`{{ $value | humanize }}`}} in these hours of the day before.
    description: Look whether the provider still has the URL, and whether the ingress leads to it. What is in doubt is asked for meanwhile.
- alert: UpistreamQuarantined
  expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "quarantined") }}) > 0
  for: 30m
  labels: { severity: warning }
  annotations:
    summary: Account {{`{{ $labels.account }}`}} has {{`{{ $value }}`}} callbacks in quarantine.
    description: They were verified but not understood or not matched. `upistream admin quarantine` shows them, `upistream admin replay` tries one again.
- alert: UpistreamBreakerOpen
  expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "breakerOpen") }}) > 0
  for: 5m
  labels: { severity: warning }
  annotations:
    summary: Calls to the provider of account {{`{{ $labels.account }}`}} are held back.
    description: It failed too often. Mutations are refused as not sent until a probe gets through.
- alert: UpistreamSubscriberLags
  expr: max by (subscriber) ({{ include "upistream.series" (dict "root" . "metric" "subscriberLag") }}) > {{ int64 $at.subscriberLagEvents }}
  for: 10m
  labels: { severity: warning }
  annotations:
    summary: Subscriber {{`{{ $labels.subscriber }}`}} is {{`{{ $value }}`}} events behind.
    description: It loses nothing as long as it catches up within events.retention_h.
- alert: UpistreamSettlementBreaks
  expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "settlementBreaks") }}) > 0
  for: 1d
  labels: { severity: warning }
  annotations:
    summary: The books of account {{`{{ $labels.account }}`}} and its provider's have differed for a day.
    description: "`upistream settlement breaks` shows where."
{{- end }}
