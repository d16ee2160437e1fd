{{- /* The TCP ports of each service by the configuration, as a JSON object of lists. */}}
{{- define "devops-reconciler.ports" -}}
{{- $config := .Values.config }}
{{- $ports := dict "kubernetes" .Values.networkPolicy.kubernetesPorts }}
{{- $_ := set $ports "rabbitmq" (list (int $config.RABBITMQ_PORT)) }}
{{- range $service, $url := dict
  "jenkins" $config.JENKINS_ENDPOINT
  "argocd" $config.ARGOCD_ENDPOINT
  "dockerhub" (default "https://hub.docker.com" $config.DOCKERHUB_ENDPOINT)
  "registry" (default "https://registry-1.docker.io" $config.REGISTRY_ENDPOINT)
  "godaddy" (default "https://api.godaddy.com" $config.GODADDY_ENDPOINT) }}
{{- $_ := set $ports $service (list (include "devops-reconciler.port" $url | int)) }}
{{- end }}
{{- /* A registry names the host of its tokens itself; that answers on 443. */}}
{{- $_ := set $ports "registry" (append $ports.registry 443 | uniq) }}
{{- $git := list }}
{{- range splitList "," (default "any" $config.GIT_ALLOWED_HOSTS) }}
{{- $host := trim . }}
{{- if not (contains "://" $host) }}{{ $host = printf "https://%s" $host }}{{ end }}
{{- $git = append $git (include "devops-reconciler.port" $host | int) }}
{{- end }}
{{- $_ := set $ports "git" (uniq $git) }}
{{- $_ := set $ports "addresses" (list (default 80 $config.INGRESS_HTTP_PORT | int) (default 443 $config.INGRESS_HTTPS_PORT | int)) }}
{{- with default $config.OTEL_EXPORTER_OTLP_ENDPOINT $config.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT }}
{{- $_ := set $ports "traces" (list (include "devops-reconciler.port" . | int)) }}
{{- end }}
{{- /* Behind a Service in the cluster a pod may listen at another port. Kubernetes and RabbitMQ have no URL here. */}}
{{- range $service, $own := omit $ports "kubernetes" "rabbitmq" }}
{{- range $.Values.networkPolicy.extraPorts }}
{{- $own = append $own (int .) }}
{{- end }}
{{- $_ := set $ports $service (uniq $own) }}
{{- end }}
{{- toJson $ports -}}
{{- end }}

{{- /* The port of a URL. */}}
{{- define "devops-reconciler.port" -}}
{{- $url := urlParse . -}}
{{- $written := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- default (ternary "80" "443" (eq $url.scheme "http")) $written -}}
{{- end }}
