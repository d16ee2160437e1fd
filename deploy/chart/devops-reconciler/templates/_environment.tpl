{{- /* What the chart itself decides, then the values of config by name. */}}
{{- define "devops-reconciler.environment" -}}
- name: RECONCILER_NAMESPACES
  value: {{ include "devops-reconciler.watched" . | fromJsonArray | join "," | quote }}
- name: OPERATOR_NAMESPACE
  value: {{ .Release.Namespace }}
- name: RECONCILER_PEERING_NAME
  value: {{ .Values.peeringName | quote }}
- name: RECONCILER_HTTP_PORT
  value: {{ .Values.http.port | quote }}
- name: RECONCILER_SECRETS_DIR
  value: /etc/devops-reconciler/secrets
{{- range $variable, $value := .Values.config }}
- name: {{ $variable }}
  value: {{ include "devops-reconciler.text" $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Helm reads whole numbers as floats: 5672 must not become 5.672e+03. */}}
{{- define "devops-reconciler.text" -}}
{{- if kindIs "float64" . }}{{ if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /* Seconds until Kubernetes kills: RECONCILER_SHUTDOWN_TIMEOUT, whose form is that of a duration, and 15 more. */}}
{{- define "devops-reconciler.grace" -}}
{{- $set := coalesce .Values.config.RECONCILER_SHUTDOWN_TIMEOUT .Values.secrets.RECONCILER_SHUTDOWN_TIMEOUT 25.0 }}
{{- $text := include "devops-reconciler.text" $set | trim }}
{{- $seconds := 0.0 }}
{{- if regexMatch "^[0-9.]+$" $text }}{{ $seconds = float64 $text }}{{ end }}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 }}
{{- range regexFindAll "[0-9]+([.][0-9]+)?(ms|s|m|h|d)" $text -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (get $units $unit)) }}
{{- end }}
{{- max 40 (ceil $seconds | int64 | add 15) -}}
{{- end }}
