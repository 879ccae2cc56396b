{{ define "inner" }}{{ .Values.a.b.c }}{{ end }}
