// Answers CEL expressions as Flux's controllers do, by their own package: the oracle of tests/expressions.rs.
// usage: expressions OBJECTS < CASES > ANSWERS
//
// A case is a line `health EXPRESSION` (parsed only, the fields of an object are its variables) or `ready EXPRESSION`
// (compiled with `self` and `dep`, must be boolean); OBJECTS holds the variables of each. An answer is a JSON string:
// `true`, `false`, or the error.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	flux "github.com/fluxcd/pkg/runtime/cel"
	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	var objects unstructured.Unstructured // its numbers are int64 where they can be, as those of the cluster
	check(objects.UnmarshalJSON(text))
	lines, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	lines.Buffer(nil, 1<<20)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		mode, expression, found := strings.Cut(lines.Text(), " ")
		if !found || strings.HasPrefix(mode, "#") {
			continue
		}
		check(out.Encode(answer(mode, expression, objects.Object[mode].(map[string]any))))
	}
	check(lines.Err())
}

func answer(mode, expression string, variables map[string]any) string {
	var options []flux.Option
	if mode == "ready" {
		options = []flux.Option{flux.WithCompile(), flux.WithOutputType(cel.BoolType), flux.WithStructVariables("self", "dep")}
	}
	parsed, err := flux.NewExpression(expression, options...)
	if err != nil {
		return err.Error()
	}
	result, err := parsed.EvaluateBoolean(context.Background(), variables)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(result)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
