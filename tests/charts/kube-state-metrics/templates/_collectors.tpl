{{/* The active collectors, joined by commas. */}}
{{- define "collectors" -}}
{{- $active := list }}
{{- range concat .Values.collectors .Values.collectorsExtra | uniq }}
{{- if not (has . $.Values.collectorsExclude) }}{{ $active = append $active . }}{{ end }}
{{- end }}
{{- join "," $active }}
{{- end }}

{{/* The API group of a collector's resource; the core group is empty. */}}
{{- define "apiGroup" -}}
{{- $groups := dict
  "apps" (list "daemonsets" "deployments" "replicasets" "statefulsets")
  "admissionregistration.k8s.io" (list "mutatingwebhookconfigurations" "validatingwebhookconfigurations")
  "autoscaling" (list "horizontalpodautoscalers")
  "batch" (list "cronjobs" "jobs")
  "certificates.k8s.io" (list "certificatesigningrequests")
  "coordination.k8s.io" (list "leases")
  "discovery.k8s.io" (list "endpointslices")
  "networking.k8s.io" (list "ingressclasses" "ingresses" "networkpolicies")
  "policy" (list "poddisruptionbudgets")
  "rbac.authorization.k8s.io" (list "clusterrolebindings" "clusterroles" "rolebindings" "roles")
  "storage.k8s.io" (list "storageclasses" "volumeattachments")
}}
{{- $resource := . }}
{{- range $group, $resources := $groups }}{{ if has $resource $resources }}{{ $group }}{{ end }}{{ end }}
{{- end }}
