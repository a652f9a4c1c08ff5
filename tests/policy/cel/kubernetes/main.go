// Records what Kubernetes makes of CEL expressions: reads expressions.txt (one a line) and inputs.json, and writes
// recorded.jsonl, a line each: the value, or the error of compiling or of evaluating.
//
//	go run .
//
// The expressions are compiled as those of a ValidatingAdmissionPolicy, by the API server's own package.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	celgo "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/version"
	admissioncel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

type expression string

func (e expression) GetExpression() string      { return string(e) }
func (e expression) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.AnyType} }

func main() {
	inputs := map[string]any{}
	data, err := os.ReadFile("inputs.json")
	must(err)
	must(utiljson.Unmarshal(data, &inputs))

	source, err := os.Open("expressions.txt")
	must(err)
	target, err := os.Create("recorded.jsonl")
	must(err)
	out := json.NewEncoder(target)
	out.SetEscapeHTML(false)

	compiler := admissioncel.NewCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, 36)))
	lines := bufio.NewScanner(source)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) != "" {
			must(out.Encode(record(compiler, lines.Text(), inputs)))
		}
	}
	must(lines.Err())
	must(target.Close())
}

func record(compiler admissioncel.Compiler, text string, inputs map[string]any) map[string]any {
	options := admissioncel.OptionalVariableDeclarations{HasParams: true}
	compiled := compiler.CompileCELExpression(expression(text), options, environment.NewExpressions)
	if compiled.Error != nil {
		detail, _, _ := strings.Cut(compiled.Error.Detail, "\n")
		return map[string]any{"expression": text, "compile": detail}
	}
	value, _, err := compiled.Program.Eval(inputs)
	if err != nil {
		return map[string]any{"expression": text, "error": err.Error()}
	}
	return map[string]any{"expression": text, "value": plain(value)}
}

// plain is a value as JSON: a double with a fraction always, so that it differs from an int.
func plain(value ref.Val) any {
	switch v := value.(type) {
	case types.Bool:
		return bool(v)
	case types.Int:
		return int64(v)
	case types.Uint:
		return uint64(v)
	case types.Double:
		text := fmt.Sprint(float64(v))
		if !strings.ContainsAny(text, ".eIN") {
			text += ".0"
		}
		return json.RawMessage(text)
	case types.String:
		return string(v)
	case types.Null:
		return nil
	case traits.Mapper:
		result := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			result[string(key.(types.String))] = plain(v.Get(key))
		}
		return result
	case traits.Lister:
		result := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			result = append(result, plain(it.Next()))
		}
		return result
	}
	log.Fatalf("a %s has no place in JSON", value.Type().TypeName())
	return nil
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
