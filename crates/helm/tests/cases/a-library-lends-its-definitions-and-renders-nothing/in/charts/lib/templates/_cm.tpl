{{- define "lib.overridden" }}by the library{{ end -}}
{{- define "lib.cm" -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .root.Release.Name }}-{{ .root.Chart.Name | trunc 3 | trimSuffix "-" }}
  labels: {{- include "lib.labels" .root | nindent 4 }}
data:
  who: {{ include "lib.overridden" . }}
  extra: {{ .extra | join "," | quote }}
  prefix: {{ .root.Values.lib.prefix }}
{{- end }}
{{- define "lib.labels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}
