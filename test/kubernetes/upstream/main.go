// Asks the library that Kubernetes' own admission plugin uses what it says of pods, at each level and in each release, check by check.
//
// Pods: its own fixtures, and those of the file that -pods names, JSON lines. Written, to standard output: one JSON object a line,
// {"pod": …, "verdicts": {"baseline": {"<checks>": [<releases>]}, "restricted": …}}, releases as ranges.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const newest = 37

func main() {
	fixtures := flag.String("fixtures", "", "folder of fixtures, test/testdata of k8s.io/pod-security-admission")
	pods := flag.String("pods", "", "further pods, a file of JSON lines")
	flag.Parse()
	seen := map[string]bool{}
	var found []string
	add := func(text []byte) {
		canonical, err := canonicalOf(text)
		if err != nil {
			log.Fatal(err)
		}
		if !seen[canonical] {
			seen[canonical] = true
			found = append(found, canonical)
		}
	}
	if *fixtures != "" {
		err := filepath.WalkDir(*fixtures, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".yaml") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			asJSON, err := yaml.YAMLToJSON(text)
			if err != nil {
				return err
			}
			add(asJSON)
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	if *pods != "" {
		file, err := os.Open(*pods)
		if err != nil {
			log.Fatal(err)
		}
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			add(lines.Bytes())
		}
	}
	sort.Strings(found)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, text := range found {
		verdicts, err := judge(text)
		if err != nil {
			log.Fatal(err)
		}
		line, err := json.Marshal(map[string]any{"pod": json.RawMessage(text), "verdicts": verdicts})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintln(out, string(line))
	}
}

// What is judged of a pod, without what the fixtures are named by.
func canonicalOf(text []byte) (string, error) {
	var pod map[string]any
	if err := json.Unmarshal(text, &pod); err != nil {
		return "", err
	}
	metadata := map[string]any{}
	if given, ok := pod["metadata"].(map[string]any); ok && given["annotations"] != nil {
		metadata["annotations"] = given["annotations"]
	}
	out, err := json.Marshal(map[string]any{"metadata": metadata, "spec": pod["spec"]})
	return string(out), err
}

// By level, for each set of checks that refuse (by id, sorted, joined by commas; "" is a pass): the releases in which they do.
func judge(text string) (map[string]map[string][]string, error) {
	var pod corev1.Pod
	if err := json.Unmarshal([]byte(text), &pod); err != nil {
		return nil, err
	}
	verdicts := map[string]map[string][]string{}
	for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
		bySet := map[string][]int{}
		for minor := 0; minor <= newest; minor++ {
			refusing := []string{}
			for id, check := range checksOf(level, minor) {
				if !check(&pod.ObjectMeta, &pod.Spec).Allowed {
					refusing = append(refusing, id)
				}
			}
			sort.Strings(refusing)
			set := strings.Join(refusing, ",")
			bySet[set] = append(bySet[set], minor)
			if err := agrees(level, minor, &pod, len(refusing)); err != nil {
				return nil, err
			}
		}
		verdicts[string(level)] = map[string][]string{}
		for set, minors := range bySet {
			verdicts[string(level)][set] = ranges(minors)
		}
	}
	return verdicts, nil
}

// The checks that a level has in a release, by the registry's own rules: the newest version of each that is no newer, and no
// baseline one that a restricted one overrides.
func checksOf(level api.Level, minor int) map[string]policy.CheckPodFn {
	checks := map[string]policy.CheckPodFn{}
	overridden := map[policy.CheckID]bool{}
	for _, check := range policy.DefaultChecks() {
		if check.Level == api.LevelRestricted && level != api.LevelRestricted {
			continue
		}
		for _, version := range check.Versions {
			if version.MinimumVersion.Minor() <= minor {
				checks[string(check.ID)] = version.CheckPod
				for _, id := range version.OverrideCheckIDs {
					overridden[id] = true
				}
			}
		}
	}
	for id := range overridden {
		delete(checks, string(id))
	}
	return checks
}

var evaluator = func() policy.Evaluator {
	made, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		log.Fatal(err)
	}
	return made
}()

// Its evaluator, which knows no ids, must count as many refusals.
func agrees(level api.Level, minor int, pod *corev1.Pod, refusals int) error {
	results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.MajorMinorVersion(1, minor)}, &pod.ObjectMeta, &pod.Spec)
	count := 0
	for _, result := range results {
		if !result.Allowed {
			count++
		}
	}
	if count != refusals {
		return fmt.Errorf("%s:v1.%d: the evaluator refuses %d times, not %d", level, minor, count, refusals)
	}
	return nil
}

func ranges(minors []int) []string {
	var out []string
	for i := 0; i < len(minors); {
		j := i
		for j+1 < len(minors) && minors[j+1] == minors[j]+1 {
			j++
		}
		if i == j {
			out = append(out, fmt.Sprint(minors[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", minors[i], minors[j]))
		}
		i = j + 1
	}
	return out
}
