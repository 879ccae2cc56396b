{{ define "c.name" }}{{ .Chart.Name | upper }}{{ end }}
