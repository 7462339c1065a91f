{{/* What the connector's container is told of Alibaba Cloud, and how it gets its credentials. */}}
{{- define "vnode.alibaba.env" -}}
{{- $alibaba := .Values.alibaba -}}
{{- $identity := $alibaba.identity -}}
- name: ALIBABA_CLOUD_REGION_ID
  value: {{ $alibaba.region | quote }}
- name: ECI_VSWITCH
  value: {{ join "," $alibaba.vswitches | quote }}
- name: ECI_SECURITY_GROUP
  value: {{ $alibaba.securityGroup | quote }}
{{- with $alibaba.resourceGroupId }}
- name: ECI_RESOURCE_GROUP_ID
  value: {{ . | quote }}
{{- end }}
{{- with $alibaba.owner }}
- name: VNODECTL_CLUSTER
  value: {{ . | quote }}
{{- end }}
{{- with $alibaba.endpoint }}
- name: VNODECTL_ALIBABA_ENDPOINT
  value: {{ . | quote }}
{{- end }}
- name: ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED
  value: {{ $alibaba.vpcEndpoints | quote }}
{{- if eq $identity.type "accessKey" }}
- name: ALIBABA_CLOUD_ACCESS_KEY_ID
  value: {{ $identity.accessKeyId | quote }}
- name: VNODECTL_ALIBABA_SECRET_FILE
  value: /etc/vnodectl/alibaba/accessKeySecret
{{- if $identity.temporary }}
- name: ALIBABA_CLOUD_SECURITY_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "vnode.secret" . | quote }}
      key: securityToken
{{- end }}
{{- else if eq $identity.type "ramRole" }}
- name: ALIBABA_CLOUD_ROLE_ARN
  value: {{ $identity.roleArn | quote }}
- name: ALIBABA_CLOUD_OIDC_PROVIDER_ARN
  value: {{ $identity.oidcProviderArn | quote }}
- name: ALIBABA_CLOUD_OIDC_TOKEN_FILE
  value: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token
{{- else }}
- name: ALIBABA_CLOUD_ECS_METADATA
  value: {{ $identity.roleName | quote }}
{{- end }}
{{- end -}}

{{- define "vnode.alibaba.mounts" -}}
{{- $type := .Values.alibaba.identity.type -}}
{{- if eq $type "accessKey" }}
- name: alibaba
  mountPath: /etc/vnodectl/alibaba
  readOnly: true
{{- else if eq $type "ramRole" }}
- name: rrsa-oidc-token
  mountPath: /var/run/secrets/ack.alibabacloud.com/rrsa-tokens
  readOnly: true
{{- end }}
{{- end -}}

{{- define "vnode.alibaba.volumes" -}}
{{- $type := .Values.alibaba.identity.type -}}
{{- if eq $type "accessKey" }}
- name: alibaba
  secret:
    secretName: {{ include "vnode.secret" . | quote }}
    defaultMode: 0444
    items:
      - key: accessKeySecret
        path: accessKeySecret
{{- else if eq $type "ramRole" }}
# The names that ack-pod-identity-webhook uses, so that it adds nothing where it is installed.
- name: rrsa-oidc-token
  projected:
    sources:
      - serviceAccountToken:
          audience: sts.aliyuncs.com
          expirationSeconds: 3600
          path: token
{{- end }}
{{- end -}}
