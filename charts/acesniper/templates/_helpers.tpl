{{/* Prefix of all names: the release name, followed by the chart name unless it contains it. A release name may contain dots. */}}
{{- define "acesniper.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-acesniper" .Release.Name) (contains "acesniper" .Release.Name) -}}
{{- $name | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Labels of a component; call with (dict "root" $ "part" "operator"). */}}
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

{{/* Image of a component; call with (dict "root" $ "repository" "acesniper/operator"). */}}
{{- define "acesniper.image" -}}
{{- $registry := .root.Values.mirror | default .root.Values.image.registry -}}
{{- printf "%s/%s:%s" $registry .repository (.root.Values.image.tag | default .root.Chart.AppVersion) -}}
{{- end }}

{{/* Image of kube-scheduler in the API server's version; v1.36.1+k3s1 and v1.36.1-eks-1 become v1.36.1. */}}
{{- define "acesniper.schedulerImage" -}}
{{- $image := .Values.scheduler.image -}}
{{- $version := regexFind "^v[0-9]+[.][0-9]+[.][0-9]+(-(alpha|beta|rc)[.][0-9]+)?" .Capabilities.KubeVersion.Version -}}
{{- printf "%s/%s:%s" (.Values.mirror | default $image.registry) $image.repository (required "scheduler.image.tag: name the version of kube-scheduler, such as v1.36.1; it cannot be derived from the API server" ($image.tag | default $version)) -}}
{{- end }}

{{/* Pod settings that all components share; call with (dict "root" $ "class" "control"). */}}
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

{{/* Node affinity to the architectures for which images exist. */}}
{{- define "acesniper.affinity" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - {key: kubernetes.io/arch, operator: In, values: [amd64, arm64]}
{{- end }}

{{/* Address of the API server, if its Service is not used. */}}
{{- define "acesniper.apiServer" -}}
{{- if .Values.apiServer.host }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ .Values.apiServer.host | quote }}}
- {name: KUBERNETES_SERVICE_PORT, value: {{ .Values.apiServer.port | quote }}}
{{- end }}
{{- end }}

{{/* Settings as environment variables: maxGatedPods becomes ACESNIPER_MAX_GATED_PODS. */}}
{{- define "acesniper.settings" -}}
- {name: ACESNIPER_LOG_FORMAT, value: {{ .root.Values.logs.format | quote }}}
- {name: ACESNIPER_LOG_LEVEL, value: {{ .root.Values.logs.level | quote }}}
{{- range $name, $value := .settings }}
- {name: {{ printf "ACESNIPER_%s" (snakecase $name | upper) }}, value: {{ include "acesniper.text" $value | quote }}}
{{- end }}
{{- end }}

{{/* A value as a string. Helm parses large integers as floats, which would be printed as 2.1e+09. */}}
{{- define "acesniper.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end }}

{{/* ConfigMap of a network rolled out by `acesniper network`; optional, the built-in network is the default. */}}
{{/* Volume with the key that signs the planner's decisions, mounted in extender and operator. */}}
{{- define "acesniper.decisionKey" -}}
- name: decision-key
  secret: {secretName: {{ .Values.decisionKey.secret | default (printf "%s-decision-key" (include "acesniper.fullname" .)) | quote }}}
{{- end }}

{{- define "acesniper.network" -}}
- name: network
  configMap: {name: ace-sniper-network, optional: true}
{{- end }}
