// kustomize builds the folders that it reads, a line each, one after another through the original's library, and prints each
// output behind its length, or -1 where it fails. Flags as Flux has them: nothing restricted, nothing reordered.
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"os"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	"sigs.k8s.io/kustomize/kyaml/openapi/kubernetesapi"
)

func main() {
	log.SetOutput(io.Discard)
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsNone
	options.Reorder = krusty.ReorderOptionNone
	out := bufio.NewWriter(os.Stdout)
	folders := bufio.NewScanner(os.Stdin)
	for folders.Scan() {
		text, err := build(options, folders.Text())
		if err != nil {
			fmt.Fprintln(os.Stderr, folders.Text()+":", err)
			fmt.Fprintln(out, -1)
			continue
		}
		fmt.Fprintln(out, len(text))
		out.Write(text)
	}
	if err := out.Flush(); err != nil {
		os.Exit(1)
	}
}

func build(options *krusty.Options, folder string) (text []byte, err error) {
	// The library panics at some folders; Flux goes on, too.
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("panic: %v", caught)
		}
	}()
	// A schema of a folder's own would stay for the next. Flux reads its own anew for each build: more than most builds cost.
	if _, builtin := kubernetesapi.OpenAPIMustAsset[openapi.GetSchemaVersion()]; !builtin {
		openapi.ResetOpenAPI()
	}
	built, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return built.AsYaml()
}
