{{/*
A tree of values as TOML. Helm's own toToml writes whole numbers as floats (1.048576e+06), which the service refuses.

upistream.toml takes { path: [names], tree }: the settings of a section, then the sections below it.
*/}}
{{- define "upistream.toml" -}}
{{- $path := .path }}
{{- $lines := list }}
{{- $sections := list }}
{{- range $name, $value := .tree }}
{{- if and (kindIs "map" $value) (ne (include "upistream.toml.isSource" $value) "true") }}
{{- $sections = append $sections (include "upistream.toml" (dict "path" (append $path $name) "tree" $value)) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $lines = append $lines (printf "%s = %s" (include "upistream.toml.key" $name) (include "upistream.toml.value" (dict "at" (append $path $name) "value" $value))) }}
{{- end }}
{{- end }}
{{- if and $path (or $lines (not $sections)) }}
{{- $names := list }}
{{- range $path }}{{ $names = append $names (include "upistream.toml.key" .) }}{{ end }}
{{- $lines = prepend $lines (printf "[%s]" (join "." $names)) }}
{{- end }}
{{- if $lines }}{{ $sections = prepend $sections (join "\n" $lines) }}{{ end }}
{{- join "\n\n" $sections }}
{{- end }}

{{/* Whether it says where a secret is: { file } or { env }. */}}
{{- define "upistream.toml.isSource" -}}
{{- and (eq (len .) 1) (or (hasKey . "file") (hasKey . "env")) }}
{{- end }}

{{- define "upistream.toml.key" -}}
{{- if regexMatch "^[A-Za-z0-9_-]+$" . }}{{ . }}{{ else }}{{ toRawJson . }}{{ end }}
{{- end }}

{{/* Takes { at: [names], value }. Texts are written as JSON writes them, which TOML reads in the same way. */}}
{{- define "upistream.toml.value" -}}
{{- $at := .at }}
{{- $value := .value }}
{{- if kindIs "string" $value }}{{ toRawJson $value }}
{{- else if kindIs "bool" $value }}{{ $value }}
{{- else if or (kindIs "float64" $value) (kindIs "int64" $value) (kindIs "int" $value) }}
{{- if ne (float64 (int64 $value)) (float64 $value) }}{{ fail (printf "`%s` is %v: the service takes whole numbers only" (join "." $at) $value) }}{{ end }}
{{- int64 $value }}
{{- else if kindIs "slice" $value }}
{{- $items := list }}
{{- range $value }}{{ $items = append $items (include "upistream.toml.value" (dict "at" $at "value" .)) }}{{ end -}}
[{{ join ", " $items }}]
{{- else if kindIs "map" $value }}
{{- $pairs := list }}
{{- range $name, $part := $value }}{{ $pairs = append $pairs (printf "%s = %s" (include "upistream.toml.key" $name) (include "upistream.toml.value" (dict "at" (append $at $name) "value" $part))) }}{{ end -}}
{ {{ join ", " $pairs }} }
{{- else }}{{ fail (printf "`%s` has a value that the configuration can't hold" (join "." $at)) }}
{{- end }}
{{- end }}
