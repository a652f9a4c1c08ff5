// Judges pods as Kubernetes' own Pod Security admission does. One JSON pod a line comes in; one JSON object a line
// goes out: for "baseline" and "restricted" a list with an entry for each version from v1.0 on, each the sorted
// reasons why the pod is refused at it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 1 {
		return fmt.Errorf("usage: evaluator NEWEST_MINOR < PODS")
	}
	newest, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var pod corev1.Pod
		if err := json.Unmarshal(lines.Bytes(), &pod); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Bytes())
		}
		setDefaults(&pod)
		answer := map[api.Level][][]string{}
		for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
			for minor := 0; minor <= newest; minor++ {
				version := api.LevelVersion{Level: level, Version: api.MajorMinorVersion(1, minor)}
				answer[level] = append(answer[level], reasons(evaluator.EvaluatePod(version, &pod.ObjectMeta, &pod.Spec)))
			}
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// setDefaults does what matters here of the API server's work before admission: a volume that says nothing of its
// source is an emptyDir (k8s.io/kubernetes pkg/apis/core/v1, SetDefaults_Volume).
func setDefaults(pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		if volume := &pod.Spec.Volumes[i]; volume.VolumeSource == (corev1.VolumeSource{}) {
			volume.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
}

func reasons(results []policy.CheckResult) []string {
	given := []string{}
	for _, result := range results {
		if !result.Allowed {
			given = append(given, result.ForbiddenReason)
		}
	}
	slices.Sort(given)
	return given
}
