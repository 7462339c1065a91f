{{/* What the connector's container is told of Azure, and how it gets its credentials. */}}
{{- define "vnode.azure.env" -}}
{{- $azure := .Values.azure -}}
- name: AZURE_SUBSCRIPTION_ID
  value: {{ $azure.subscriptionId | quote }}
{{- with $azure.tenantId }}
- name: AZURE_TENANT_ID
  value: {{ . | quote }}
{{- end }}
{{- with $azure.identity.clientId }}
- name: AZURE_CLIENT_ID
  value: {{ . | quote }}
{{- end }}
{{- if eq $azure.identity.type "servicePrincipal" }}
{{- if eq $azure.identity.credential "certificate" }}
- name: AZURE_CLIENT_CERTIFICATE_PATH
  value: /etc/vnodectl/azure/clientCertificate
{{- else }}
- name: VNODECTL_AZURE_CLIENT_SECRET_FILE
  value: /etc/vnodectl/azure/clientSecret
{{- end }}
{{- end }}
{{- if eq $azure.identity.type "workloadIdentity" }}
- name: AZURE_FEDERATED_TOKEN_FILE
  value: /var/run/secrets/azure/tokens/azure-identity-token
{{- end }}
{{- with $azure.authorityHost }}
- name: AZURE_AUTHORITY_HOST
  value: {{ . | quote }}
{{- end }}
{{- with $azure.armEndpoint }}
- name: VNODECTL_ARM_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: VNODECTL_ACI_RESOURCE_GROUP
  value: {{ $azure.resourceGroup | quote }}
- name: VNODECTL_ACI_REGION
  value: {{ $azure.region | quote }}
{{- with $azure.owner }}
- name: VNODECTL_CLUSTER
  value: {{ . | quote }}
{{- end }}
{{- with $azure.subnetId }}
- name: VNODECTL_ACI_SUBNET_ID
  value: {{ . | quote }}
{{- end }}
- name: VNODECTL_ACI_PUBLIC_IP
  value: {{ $azure.publicIp | quote }}
{{- with $azure.gpuSku }}
- name: VNODECTL_ACI_GPU_SKU
  value: {{ . | quote }}
{{- end }}
{{- with $azure.zone }}
- name: VNODECTL_ACI_ZONE
  value: {{ . | quote }}
{{- end }}
{{- with $azure.tags }}
- name: VNODECTL_ACI_TAGS
  value: {{ . | quote }}
{{- end }}
{{- with $azure.identities }}
- name: VNODECTL_ACI_IDENTITIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with $azure.registryIdentity }}
- name: VNODECTL_ACI_REGISTRY_IDENTITY
  value: {{ . | quote }}
{{- end }}
- name: VNODECTL_ACI_DIRECT_PROBES
  value: {{ $azure.directProbes | quote }}
- name: VNODECTL_ACI_CREATES_PER_HOUR
  value: {{ int $azure.createsPerHour | quote }}
- name: VNODECTL_ACI_DELETES_PER_HOUR
  value: {{ int $azure.deletesPerHour | quote }}
{{- with $azure.kubeProxyCidr }}
- name: VNODECTL_ACI_KUBE_PROXY_CIDR
  value: {{ . | quote }}
- name: VNODECTL_ACI_KUBE_PROXY_ACCOUNT
  value: /etc/vnodectl/kube-proxy
{{- end }}
{{- with $azure.logAnalytics.workspaceId }}
- name: VNODECTL_ACI_LOG_ANALYTICS_ID
  value: {{ . | quote }}
- name: VNODECTL_ACI_LOG_ANALYTICS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ required "azure.logAnalytics.existingSecret has the workspace's key" $azure.logAnalytics.existingSecret | quote }}
      key: workspaceKey
{{- end }}
{{- end -}}

{{- define "vnode.azure.mounts" -}}
{{- $type := .Values.azure.identity.type -}}
{{- if eq $type "servicePrincipal" }}
- name: azure
  mountPath: /etc/vnodectl/azure
  readOnly: true
{{- else if eq $type "workloadIdentity" }}
- name: azure-identity-token
  mountPath: /var/run/secrets/azure/tokens
  readOnly: true
{{- end }}
{{- if .Values.azure.kubeProxyCidr }}
- name: kube-proxy
  mountPath: /etc/vnodectl/kube-proxy
  readOnly: true
{{- end }}
{{- end -}}

{{- define "vnode.azure.volumes" -}}
{{- $type := .Values.azure.identity.type -}}
{{- if eq $type "servicePrincipal" }}
- name: azure
  secret:
    secretName: {{ include "vnode.secret" . | quote }}
    defaultMode: 0444
    items:
      {{- $key := ternary "clientCertificate" "clientSecret" (eq .Values.azure.identity.credential "certificate") }}
      - key: {{ $key }}
        path: {{ $key }}
{{- else if eq $type "workloadIdentity" }}
# The names that the workload identity webhook uses, so that it adds nothing where it is installed.
- name: azure-identity-token
  projected:
    sources:
      - serviceAccountToken:
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
          path: azure-identity-token
{{- end }}
{{- if .Values.azure.kubeProxyCidr }}
- name: kube-proxy
  secret:
    secretName: {{ .Release.Name }}-kube-proxy
    defaultMode: 0444
{{- end }}
{{- end -}}
