// Makes the cases of this folder with Flux 2.9's own libraries:
//
//	go run . > ../ignore.jsonl
//	go run . archive > ../archive.jsonl
//	go run . lines
//
// The last says how long a line of an ignore file may be: the length, and how many paths were kept.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/fluxcd/pkg/artifact/storage"
	"github.com/fluxcd/pkg/sourceignore"
)

type kase struct {
	Rules map[string]string `json:"rules"`
	Spec  *string           `json:"spec,omitempty"`
	// Absent: the files of the first line.
	Files []string `json:"files,omitempty"`
	// paths of files and folders (with a slash) that stay
	Kept []string `json:"kept"`
}

func run(k kase) kase {
	dir, _ := os.MkdirTemp("", "i")
	defer os.RemoveAll(dir)
	put := func(p, t string) {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(p, []byte(t), 0o644); err != nil {
			panic(err)
		}
	}
	for _, f := range k.Files {
		put(f, "x")
	}
	for f, t := range k.Rules {
		put(filepath.Join(f, ".sourceignore"), t)
	}
	dom := strings.Split(dir, "/")
	ps, err := sourceignore.LoadIgnorePatterns(dir, dom)
	if err != nil {
		panic(err)
	}
	if k.Spec != nil {
		ps = append(ps, sourceignore.ReadPatterns(strings.NewReader(*k.Spec), dom)...)
	}
	filter := storage.SourceIgnoreFilter(ps, dom)
	k.Kept = []string{}
	filepath.Walk(dir, func(p string, fi fs.FileInfo, err error) error {
		if p == dir || filter(p, fi) {
			return nil
		}
		rel, _ := filepath.Rel(dir, p)
		if fi.IsDir() {
			rel += "/"
		}
		k.Kept = append(k.Kept, rel)
		return nil
	})
	return k
}

var common = []string{"a.png", "a.yaml", "apps/a.yaml", "apps/b.yaml", "apps/base/a.yaml", "apps/base/deep/a.yaml", "apps/base/b.yml",
	"clusters/prod/apps/a.yaml", "clusters/prod/.sops.yaml", ".sops.yaml", ".github/workflows/a.yaml", "docs/a.md", "docs/[x].md", "docs/a b.md", "docs/é.md",
	".gitignore", "sub/.gitattributes", "deep/x/.gitmodules", "x.tar.gz", "tar.gz/x", "-x/a.yaml", "cloudbuild.yaml", "deep/cloudbuild.yaml", ".goreleaser.yml", "d/.flux.yaml", "docs/a\\b", "docs/#x", "docs/!x", "docs/**", "docs/end "}

func str(s string) *string { return &s }

func main() {
	if len(os.Args) > 1 && os.Args[1] == "archive" {
		archives()
		return
	}
	var ks []kase
	specs := []string{"", "\n\n", "# only a comment\n", "   \n", "*.png", "/*\n!/apps", "/*\n!/apps/", "/*\n!/apps/base", "*\n!*.yaml", "*\n!*.yaml\n!*/", "apps/", "apps", "/apps", "apps/*", "apps/**", "apps/**/", "**/apps", "**/apps/", "**/a.yaml", "apps/**/a.yaml", "**", "**/", "/", "//", "/**", "!", "!/", "apps//base", "/apps//base/",
		"a.yaml ", "a.yaml\\ ", "end\\ ", "docs/end\\ ", " a.yaml", "\ta.yaml", "#x", "\\#x", "\\!x", "!x", "docs/\\[x\\].md", "docs/[[]x].md", "docs/[x].md", "[", "a[", "[a", "[]a]", "[^a]*", "[!a]*", "[a-c].yaml", "[c-a].yaml", "a?yaml", "?.yaml", "a*", "a**", "a**/b", "apps/a**", "**a", "x**/apps", "*.y?ml", "apps/base/\n!apps/base/a.yaml", "!apps/base/a.yaml\napps/base/", "apps/base\n!a.yaml", "deep", "/deep", "*/base", "*/*/a.yaml", "apps/*/deep", "!.gitignore", "!.git/", "!.gitattributes\n!.gitmodules", "docs/\\*\\*", "docs/*\\*", "docs/a\\\\b", "docs/é.md", "docs/?.md", "docs/[é].md", "\\", "a\\", "*\\", "clusters/**/apps/*.yaml", "**/prod/**", "**/prod/**/a.yaml", "prod/**", "clusters/**/**/a.yaml", "**/**/a.yaml", "clusters/prod/**/", "apps/\r\n*.md\r\n", "apps/ ", "apps /", "*/", "!*/\n*", "/*/\n!/apps/", "/**/a.yaml", "**/base/*\n!**/base/a.yaml", "./apps", "../apps", "apps/.", "apps/*.yaml/", "a.yaml/", ".*", "/.*", "!.sops.yaml", ".sops.yaml"}
	for _, s := range specs {
		ks = append(ks, kase{Spec: str(s), Files: common})
	}
	ks = append(ks, kase{Files: common})
	for _, s := range []string{"a.yaml", "/a.yaml", "base/", "/base", "!a.yaml", "*", "deep/*", "apps/a.yaml", "**/a.yaml", "# c\n"} {
		ks = append(ks, kase{Files: common, Rules: map[string]string{"apps": s}})
		ks = append(ks, kase{Files: common, Rules: map[string]string{"": s, "apps/base": "!a.yaml"}})
		ks = append(ks, kase{Files: common, Rules: map[string]string{"apps": s, "": "*.md"}, Spec: str("!a.yaml")})
		ks = append(ks, kase{Files: common, Rules: map[string]string{"": "!a.yaml\n", "-x": s}})
		ks = append(ks, kase{Files: common, Rules: map[string]string{"": "!-x/*", "-x": s}, Spec: str("/docs")})
	}
	if len(os.Args) > 1 {
		// Go's scanner stops at a line of 64 KiB.
		for _, l := range []string{strings.Repeat("x", 65535), strings.Repeat("x", 65536), strings.Repeat("x", 65534) + "\r", strings.Repeat("x", 65535) + "\r"} {
			fmt.Println(len(l), len(run(kase{Files: common, Spec: str("docs/\n" + l + "\napps/\n")}).Kept))
		}
		return
	}
	r := rand.New(rand.NewSource(7))
	atoms := []string{"a", "b", "*", "**", "?", "/", "/", "/", "!", "[ab]", "[^a]", "a.yaml", "*.yaml", "\\", " ", ".", "c"}
	names := []string{"a", "b", "c", "ab", "a.yaml", "b.yaml", "a b"}
	pattern := func() string {
		s := ""
		for n := 1 + r.Intn(6); n > 0; n-- {
			s += atoms[r.Intn(len(atoms))]
		}
		return s
	}
	for i := 0; i < 300; i++ {
		seen := map[string]bool{}
		var files []string
		for n := 0; n < 10; n++ {
			p := ""
			for d := r.Intn(4); d >= 0; d-- {
				p = filepath.Join(p, "d"+names[r.Intn(len(names))])
			}
			p = strings.ReplaceAll(p, "d", "")
			p += "_"
			p = strings.ReplaceAll(p, "_", ""+names[r.Intn(3)])
			bad := false
			for s := range seen {
				if s == p || strings.HasPrefix(s, p+"/") || strings.HasPrefix(p, s+"/") {
					bad = true
				}
			}
			if !bad {
				seen[p] = true
				files = append(files, p)
			}
		}
		k := kase{Files: files, Rules: map[string]string{}}
		var lines []string
		for n := 1 + r.Intn(3); n > 0; n-- {
			lines = append(lines, pattern())
		}
		if r.Intn(2) == 0 {
			k.Spec = str(strings.Join(lines, "\n"))
		} else {
			k.Rules[""] = strings.Join(lines, "\n")
		}
		if r.Intn(3) == 0 && filepath.Dir(files[0]) != "." {
			k.Rules[filepath.Dir(files[0])] = pattern()
		}
		ks = append(ks, k)
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	first, _ := json.Marshal(map[string][]string{"files": common})
	fmt.Fprintln(w, string(first))
	for _, k := range ks {
		k = run(k)
		if &k.Files[0] == &common[0] {
			k.Files = nil
		}
		out, err := json.Marshal(k)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(w, string(out))
	}
}
