{{- /* In each watched namespace. */}}
{{- define "devops-reconciler.rules.watched" -}}
- apiGroups: [freeleaps.com]
  resources: [devopsprojects]
  verbs: [get, list, watch, create, patch]
- apiGroups: [freeleaps.com]
  resources: [jenkinssettings, registrysettings, argosettings, ingressresources, deploymentrecords]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [freeleaps.com]
  resources:
    - devopsprojects/status
    - jenkinssettings/status
    - registrysettings/status
    - argosettings/status
    - ingressresources/status
    - deploymentrecords/status
  verbs: [patch]
# For owner references that hold up the owner's deletion, where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [freeleaps.com]
  resources: [devopsprojects/finalizers]
  verbs: [update]
# Only Secrets with the label freeleaps.com/project-credential are used; RBAC cannot say that.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# Creating, listing and watching cannot be granted by name.
- apiGroups: [kopf.dev]
  resources: [kopfpeerings]
  verbs: [list, watch, create]
- apiGroups: [kopf.dev]
  resources: [kopfpeerings]
  resourceNames: [{{ .Values.peeringName }}]
  verbs: [get, patch]
{{- end }}

{{- /* In the operator's own namespace. */}}
{{- define "devops-reconciler.rules.own" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [devops-reconciler]
  verbs: [get, patch]
# What a forced deletion has let go is written down.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, patch]
{{- end }}

{{- /* In each destination namespace. */}}
{{- define "devops-reconciler.rules.destination" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, create, patch, delete]
{{- if .Values.destinations.copySecrets }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [serviceaccounts]
  resourceNames: [default]
  verbs: [get, patch]
{{- end }}
{{- end }}
