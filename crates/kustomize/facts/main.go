// Writes ../src/facts.txt: what kustomize v5.8.1 knows of Kubernetes v1.21.2.
//
//	go mod init facts && go get sigs.k8s.io/kustomize/kyaml@v0.21.1 && go run main.go > ../src/facts.txt
//
// `type` lines give, for each definition from which a list that merges can be reached, its fields:
// `field=definition` for an object, `field[keys]=definition` for a list that merges by keys (none: a list of
// primitives), `field[]=definition` for a list that is replaced, `*` for the values of a map.
// `kind` lines give the definition of a kind; `cluster` lines the kinds without a namespace.
package main

import (
	"fmt"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

var (
	definitions spec.Definitions
	reaches     = map[string]bool{}
)

// target names the definition behind a schema, or "".
func target(s *spec.Schema) string {
	if s == nil {
		return ""
	}
	ref := s.Ref.String()
	return strings.TrimPrefix(ref, "#/definitions/")
}

func merges(s *spec.Schema) (keys string, ok bool) {
	strategy, keyList := (&openapi.ResourceSchema{Schema: s}).PatchStrategyAndKeyList()
	for _, part := range strings.Split(strategy, ",") {
		ok = ok || part == "merge"
	}
	return strings.Join(keyList, ","), ok
}

func fields(name string) []string {
	d := definitions[name]
	var out []string
	add := func(field string, s *spec.Schema) {
		if s == nil {
			return
		}
		if len(s.Type) == 1 && s.Type[0] == "array" && s.Items != nil {
			element := target(s.Items.Schema)
			if !reaches[element] {
				element = ""
			}
			if keys, ok := merges(s); ok {
				if keys == "" {
					keys = "-"
				}
				out = append(out, fmt.Sprintf("%s[%s]=%s", field, keys, element))
			} else if element != "" {
				out = append(out, fmt.Sprintf("%s[]=%s", field, element))
			}
			return
		}
		if to := target(s); reaches[to] {
			out = append(out, fmt.Sprintf("%s=%s", field, to))
		} else if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
			if to := target(s.AdditionalProperties.Schema); reaches[to] {
				out = append(out, fmt.Sprintf("%s*=%s", field, to))
			}
		}
	}
	for field, s := range d.Properties {
		add(field, &s)
	}
	sort.Strings(out)
	return out
}

func main() {
	definitions = openapi.Schema().Definitions
	for changed := true; changed; {
		changed = false
		for name := range definitions {
			if !reaches[name] && len(fields(name)) > 0 {
				reaches[name], changed = true, true
			}
		}
	}
	names := make([]string, 0, len(definitions))
	for name := range definitions {
		names = append(names, name)
	}
	sort.Strings(names)
	short := func(line string) string {
		line = strings.ReplaceAll(line, "io.k8s.apimachinery.pkg.apis.", "")
		return strings.ReplaceAll(line, "io.k8s.api.", "")
	}
	var kinds, cluster []string
	// Definitions with the same fields are printed once, under the name of the first.
	same, first := map[string]string{}, map[string]string{}
	for _, name := range names {
		line := strings.Join(fields(name), " ")
		if _, known := same[line]; !known {
			same[line] = name
		}
		first[name] = same[line]
	}
	for _, name := range names {
		if strings.HasSuffix(name, "List") {
			continue // kustomize takes lists apart before it patches
		}
		if reaches[name] && first[name] == name {
			line := "type " + name
			for _, field := range fields(name) {
				key, to, _ := strings.Cut(field, "=")
				line += " " + key + "=" + first[to]
			}
			fmt.Println(short(line))
		}
		gvks, _ := definitions[name].Extensions["x-kubernetes-group-version-kind"].([]interface{})
		for _, g := range gvks {
			m := g.(map[string]interface{})
			group, _ := m["group"].(string)
			version, kind := m["version"].(string), m["kind"].(string)
			apiVersion := strings.TrimPrefix(group+"/"+version, "/")
			if reaches[name] {
				kinds = append(kinds, short("kind "+apiVersion+" "+kind+" "+first[name]))
			}
		}
	}
	for _, name := range names {
		gvks, _ := definitions[name].Extensions["x-kubernetes-group-version-kind"].([]interface{})
		for _, g := range gvks {
			m := g.(map[string]interface{})
			group, _ := m["group"].(string)
			version, kind := m["version"].(string), m["kind"].(string)
			apiVersion := strings.TrimPrefix(group+"/"+version, "/")
			if openapi.IsCertainlyClusterScoped(yaml.TypeMeta{APIVersion: apiVersion, Kind: kind}) {
				cluster = append(cluster, "cluster "+apiVersion+" "+kind)
			}
		}
	}
	for _, list := range [][]string{kinds, cluster} {
		sort.Strings(list)
		last := ""
		for _, line := range list {
			if line != last {
				fmt.Println(line)
			}
			last = line
		}
	}
}
