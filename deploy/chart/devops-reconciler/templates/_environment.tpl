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
