{{/* Users of ack-virtual-node know the node by a name of its own. */}}
{{- define "vnode.node" -}}
{{- $usual := eq .Values.cloud "alibaba" | ternary "virtual-kubelet" (printf "virtual-kubelet-%s" .Release.Name) -}}
{{- .Values.node.name | default $usual -}}
{{- end -}}

{{/* The names of all its nodes, one per line, as the agent makes them. */}}
{{- define "vnode.nodes" -}}
{{- $first := include "vnode.node" . -}}
{{- $first -}}
{{- range $number := untilStep 2 (int (add1 .Values.nodes)) 1 }}
{{- $name := printf "%s-%d" $first $number }}
{{- if gt (len $name) 63 }}
{{- fail (printf "node name %s has %d characters; Kubernetes allows 63" $name (len $name)) }}
{{- end }}
{{ $name }}
{{- end -}}
{{- end -}}

{{- define "vnode.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "vnode.labels" -}}
{{ include "vnode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: vnodectl
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
vnodectl.io/connector: {{ .Values.connector.name | quote }}
vnodectl.io/os: {{ .Values.osType | lower }}
vnodectl.io/cloud: {{ .Values.cloud }}
vnodectl.io/region: {{ include "vnode.region" . | quote }}
{{- end -}}

{{- define "vnode.region" -}}
{{- if eq .Values.cloud "alibaba" }}{{ .Values.alibaba.region }}{{ else }}{{ .Values.azure.region }}{{ end -}}
{{- end -}}

{{/* The value of the nodes' taint, as the provider calls itself. */}}
{{- define "vnode.taint" -}}
{{- if eq .Values.cloud "alibaba" }}alibabacloud{{ else }}azure{{ end -}}
{{- end -}}

{{- define "vnode.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "vnode.secret" -}}
{{- (get .Values .Values.cloud).identity.existingSecret | default (printf "%s-%s" .Release.Name .Values.cloud) -}}
{{- end -}}

{{/* A quantity as text. Helm reads a number of a values file as a float, which prints as 1e+06. */}}
{{- define "vnode.quantity" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ int64 . }}{{ end -}}
{{- end -}}

{{/* Restricted pod security, for the connector and for the test's pod. */}}
{{- define "vnode.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "vnode.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* On a Linux node that is no virtual one: a connector cannot run on what it makes run itself. */}}
{{- define "vnode.affinity" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - key: kubernetes.io/os
            operator: In
            values: [linux]
          - key: type
            operator: NotIn
            values: [virtual-kubelet]
{{- end -}}
