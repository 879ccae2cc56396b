// helm renders the charts that it reads, a JSON object each line, one after another through the original's loader, values and
// engine, and prints each output behind its length, or -1 where it fails.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"helm.sh/helm/v4/pkg/strvals"
)

// What is rendered: the fields of `helm template`'s command line.
type job struct {
	Chart, Values, Set, Kube string
	APIs                     []string
	NoSchema                 bool
}

func main() {
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	out := bufio.NewWriter(os.Stdout)
	jobs := bufio.NewScanner(os.Stdin)
	jobs.Buffer(nil, 1<<20)
	for jobs.Scan() {
		var asked job
		if err := json.Unmarshal(jobs.Bytes(), &asked); err != nil {
			log.Fatal(err)
		}
		text, err := render(asked)
		if err != nil {
			fmt.Fprintln(os.Stderr, asked.Chart+":", err)
			fmt.Fprintln(out, -1)
			continue
		}
		fmt.Fprintln(out, len(text))
		out.WriteString(text)
	}
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}

func render(asked job) (string, error) {
	loaded, err := loader.Load(asked.Chart)
	if err != nil {
		return "", err
	}
	values := map[string]any{}
	if asked.Values != "" {
		read, err := common.ReadValuesFile(asked.Values)
		if err != nil {
			return "", err
		}
		values = read
	}
	if asked.Set != "" {
		if err := strvals.ParseInto(asked.Set, values); err != nil {
			return "", err
		}
	}
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return "", err
	}
	capabilities := common.DefaultCapabilities.Copy()
	version, err := common.ParseKubeVersion(asked.Kube)
	if err != nil {
		return "", err
	}
	capabilities.KubeVersion = *version
	capabilities.APIVersions = append(capabilities.APIVersions, asked.APIs...)
	release := common.ReleaseOptions{Name: "rel", Namespace: "apps", Revision: 1, IsInstall: true}
	given, err := util.ToRenderValuesWithSchemaValidation(loaded, values, release, capabilities, asked.NoSchema)
	if err != nil {
		return "", err
	}
	if constraint := loaded.Metadata.KubeVersion; constraint != "" && !chartutil.IsCompatibleRange(constraint, version.String()) {
		return "", fmt.Errorf("chart requires kubeVersion %s", constraint)
	}
	files, err := new(engine.Engine).Render(loaded, given)
	if err != nil {
		return "", err
	}
	return printed(loaded, files)
}

// What `helm template --include-crds` prints of rendered files.
func printed(loaded *chart.Chart, files map[string]string) (string, error) {
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", err
	}
	var all, out bytes.Buffer
	for _, crd := range loaded.CRDObjects() {
		fmt.Fprintf(&all, "---\n# Source: %s\n%s\n", crd.Filename, crd.File.Data)
	}
	for _, manifest := range manifests {
		fmt.Fprintf(&all, "---\n# Source: %s\n%s\n", manifest.Name, manifest.Content)
	}
	fmt.Fprintln(&out, strings.TrimSpace(all.String()))
	for _, hook := range hooks {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return out.String(), nil
}
