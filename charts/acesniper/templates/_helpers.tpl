{{/* The start of all names: the release's, with the chart's unless it says it already. A release's may have dots. */}}
{{- define "acesniper.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-acesniper" .Release.Name) (contains "acesniper" .Release.Name) -}}
{{- $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Labels of a part; call with (dict "root" $ "part" "operator"). */}}
{{- define "acesniper.labels" -}}
{{ include "acesniper.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: acesniper
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "acesniper.selector" -}}
app.kubernetes.io/name: acesniper
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* An image of ours; call with (dict "root" $ "repository" "acesniper/operator"). */}}
{{- define "acesniper.image" -}}
{{- $registry := .root.Values.mirror | default .root.Values.image.registry -}}
{{- printf "%s/%s:%s" $registry .repository (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end }}

{{/* kube-scheduler of the cluster's own version: v1.36.1+k3s1 and v1.36.1-eks-1 are v1.36.1 there. */}}
{{- define "acesniper.schedulerImage" -}}
{{- $image := .Values.scheduler.image -}}
{{- $version := regexFind "^v[0-9]+[.][0-9]+[.][0-9]+(-(alpha|beta|rc)[.][0-9]+)?" .Capabilities.KubeVersion.Version -}}
{{- printf "%s/%s:%s" (.Values.mirror | default $image.registry) $image.repository (required "scheduler.image.tag: name the version of kube-scheduler, such as v1.36.1; the cluster does not tell it" ($image.tag | default $version)) -}}
{{- end }}

{{/* What every pod of ours has in common; call with (dict "root" $ "class" "control"). */}}
{{- define "acesniper.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- if .root.Values.priorityClasses.create }}
priorityClassName: {{ include "acesniper.fullname" .root }}-{{ .class }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "acesniper.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Images of ours exist for these processors only. */}}
{{- define "acesniper.affinity" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: kubernetes.io/arch, operator: In, values: [amd64, arm64]}
{{- end }}

{{/* The API server's address, where the service's does not work. */}}
{{- define "acesniper.apiServer" -}}
{{- if .Values.apiServer.host }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ .Values.apiServer.host | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ .Values.apiServer.port | quote }}}
{{- end }}
{{- end }}

{{/* Settings as environment: maxGatedPods is ACESNIPER_MAX_GATED_PODS. */}}
{{- define "acesniper.settings" -}}
- {name: ACESNIPER_LOG_FORMAT, value: {{ .root.Values.logs.format | quote }}}
- {name: ACESNIPER_LOG_LEVEL, value: {{ .root.Values.logs.level | quote }}}
{{- range $name, $value := .settings }}
- {name: {{ printf "ACESNIPER_%s" (snakecase $name | upper) }}, value: {{ include "acesniper.text" $value | quote }}}
{{- end }}
{{- end }}

{{/* A value as text; large whole numbers are floats to Helm, and would be written 2.1e+09. */}}
{{- define "acesniper.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{/* The network that `acesniper network` rolled out, if it did; else the shipped one serves. */}}
{{- define "acesniper.network" -}}
- name: network
  configMap: {name: ace-sniper-network, optional: true}
{{- end }}
