{{/* The dashboard as Grafana reads it. What each panel shows stands in upistream.panels. */}}
{{- define "upistream.dashboard" -}}
{{- $panels := list }}
{{- range $index, $panel := include "upistream.panels" . | fromYamlArray }}
{{- $targets := list }}
{{- range $number, $target := $panel.targets }}
{{- $targets = append $targets (dict "refId" (printf "%c" (add 65 $number)) "expr" $target.expr "legendFormat" $target.legend) }}
{{- end }}
{{- $datasource := dict "type" "prometheus" "uid" "${datasource}" }}
{{- $place := dict "h" 8 "w" 8 "x" (mul 8 (mod $index 3)) "y" (mul 8 (div $index 3)) }}
{{- $panels = append $panels (dict
  "id" (add 1 $index) "type" "timeseries" "title" $panel.title "description" $panel.description "datasource" $datasource
  "gridPos" $place "targets" $targets "fieldConfig" (dict "defaults" (dict "unit" $panel.unit "min" 0) "overrides" list)
  "options" (dict "legend" (dict "displayMode" "list" "placement" "bottom" "showLegend" true) "tooltip" (dict "mode" "multi" "sort" "desc"))
) }}
{{- end }}
{{- dict
  "uid" (printf "%s-%s" .Release.Namespace (include "upistream.fullname" .) | sha256sum | trunc 16)
  "title" (printf "upistream: %s/%s" .Release.Namespace (include "upistream.fullname" .))
  "tags" (list "upistream") "timezone" "Asia/Kolkata" "schemaVersion" 39 "editable" false "refresh" "30s"
  "time" (dict "from" "now-6h" "to" "now")
  "templating" (dict "list" (list (dict "name" "datasource" "type" "datasource" "query" "prometheus" "label" "Prometheus")))
  "panels" $panels | toPrettyJson }}
{{- end }}

{{- define "upistream.panels" -}}
{{- $rate := "$__rate_interval" }}
- title: Calls
  unit: reqps
  description: Calls answered each second, by method.
  targets:
    - expr: sum by (rpc_method) (rate({{ include "upistream.series" (dict "root" . "metric" "rpcDuration" "suffix" "_count") }}[{{ $rate }}]))
      legend: {{ `'{{rpc_method}}'` }}
- title: Calls that failed
  unit: reqps
  description: By gRPC status. UNAVAILABLE is an answer to repeat; UNKNOWN and INTERNAL are ours to look at.
  targets:
    - expr: sum by (rpc_response_status_code) (rate({{ include "upistream.series" (dict "root" . "metric" "rpcDuration" "suffix" "_count" "matchers" `rpc_response_status_code!="OK"`) }}[{{ $rate }}]))
      legend: {{ `'{{rpc_response_status_code}}'` }}
- title: Time to answer, 99 of 100 calls
  unit: s
  description: By method. Mutations wait for a provider.
  targets:
    - expr: histogram_quantile(0.99, sum by (le, rpc_method) (rate({{ include "upistream.series" (dict "root" . "metric" "rpcDuration" "suffix" "_bucket") }}[{{ $rate }}])))
      legend: {{ `'{{rpc_method}}'` }}
- title: Events written
  unit: eps
  description: Each is a change of a record.
  targets:
    - expr: sum(rate({{ include "upistream.series" (dict "root" . "metric" "eventsAppended") }}[{{ $rate }}]))
      legend: events
- title: Subscribers
  unit: none
  description: Live subscriptions, by replica.
  targets:
    - expr: sum by (pod) ({{ include "upistream.series" (dict "root" . "metric" "subscribers") }})
      legend: {{ `'{{pod}}'` }}
- title: Events that subscribers are behind
  unit: none
  description: By the name that a subscriber gave itself.
  targets:
    - expr: max by (subscriber) ({{ include "upistream.series" (dict "root" . "metric" "subscriberLag") }})
      legend: {{ `'{{subscriber}}'` }}
- title: Age of the oldest unknown outcome
  unit: s
  description: By account. Nobody knows whether this moved money.
  targets:
    - expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "doubtAge") }})
      legend: {{ `'{{account}}'` }}
- title: What waits for a person
  unit: none
  description: Callbacks in quarantine, and differences between a provider's books and ours, by account.
  targets:
    - expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "quarantined") }})
      legend: {{ `'{{account}}: quarantine'` }}
    - expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "settlementBreaks") }})
      legend: {{ `'{{account}}: settlement breaks'` }}
- title: Contradictions
  unit: none
  description: Facts that did not fit their record, in the last hour. None is applied.
  targets:
    - expr: {{ include "upistream.risen" (dict "root" . "metric" "contradictions" "by" "account, fact" "window" "1h") }}
      legend: {{ `'{{account}}: {{fact}}'` }}
- title: Callbacks
  unit: reqps
  description: Taken, by account and what became of them; and refused, by account and reason.
  targets:
    - expr: sum by (account, result) (rate({{ include "upistream.series" (dict "root" . "metric" "webhooks") }}[{{ $rate }}]))
      legend: {{ `'{{account}}: {{result}}'` }}
    - expr: sum by (account, reason) (rate({{ include "upistream.series" (dict "root" . "metric" "webhooksRefused") }}[{{ $rate }}]))
      legend: {{ `'{{account}}: refused, {{reason}}'` }}
- title: Time of provider calls, 99 of 100
  unit: s
  description: By account and operation.
  targets:
    - expr: histogram_quantile(0.99, sum by (le, account, operation) (rate({{ include "upistream.series" (dict "root" . "metric" "providerDuration" "suffix" "_bucket") }}[{{ $rate }}])))
      legend: {{ `'{{account}}: {{operation}}'` }}
- title: Provider calls that failed
  unit: reqps
  description: By account and class, and questions that were not answered.
  targets:
    - expr: sum by (account, class) (rate({{ include "upistream.series" (dict "root" . "metric" "providerErrors") }}[{{ $rate }}]))
      legend: {{ `'{{account}}: {{class}}'` }}
    - expr: sum by (account) (rate({{ include "upistream.series" (dict "root" . "metric" "providerUnanswered") }}[{{ $rate }}]))
      legend: {{ `'{{account}}: unanswered'` }}
- title: Circuit breakers
  unit: none
  description: Above 0, calls to the provider are held back.
  targets:
    - expr: max by (account) ({{ include "upistream.series" (dict "root" . "metric" "breakerOpen") }})
      legend: {{ `'{{account}}'` }}
- title: Logins at providers
  unit: none
  description: In the last hour, by account and result.
  targets:
    - expr: {{ include "upistream.risen" (dict "root" . "metric" "tokenLogins" "by" "account, result" "window" "1h") }}
      legend: {{ `'{{account}}: {{result}}'` }}
- title: Reconciler
  unit: ops
  description: Looks at records that are in doubt or overdue, by kind and result; and records taken over from a replica that died.
  targets:
    - expr: sum by (kind, result) (rate({{ include "upistream.series" (dict "root" . "metric" "reconcilerSteps") }}[{{ $rate }}]))
      legend: {{ `'{{kind}}: {{result}}'` }}
    - expr: sum by (kind) (rate({{ include "upistream.series" (dict "root" . "metric" "leaseTakeovers") }}[{{ $rate }}]))
      legend: {{ `'{{kind}}: taken over'` }}
- title: Store
  unit: none
  description: Whether it answers each replica (1 or 0).
  targets:
    - expr: min by (pod) ({{ include "upistream.series" (dict "root" . "metric" "storeUp") }})
      legend: {{ `'{{pod}}'` }}
- title: Memory of redis
  unit: percent
  description: Of its maxmemory; at 100 mutations are refused.
  targets:
    - expr: max({{ include "upistream.series" (dict "root" . "metric" "storeMemory") }})
      legend: used
{{- end }}
