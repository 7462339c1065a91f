{{- define "vnode.node" -}}
{{- .Values.node.name | default (printf "virtual-kubelet-%s" .Release.Name) -}}
{{- end -}}

{{- define "vnode.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "vnode.labels" -}}
{{ include "vnode.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: vnodectl
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
vnodectl.io/connector: {{ .Values.connector.name }}
vnodectl.io/os: {{ .Values.osType | lower }}
vnodectl.io/region: {{ .Values.azure.region }}
{{- end -}}

{{- define "vnode.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "vnode.secret" -}}
{{- .Values.azure.identity.existingSecret | default (printf "%s-azure" .Release.Name) -}}
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
