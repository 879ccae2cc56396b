package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/artifact/config"
	"github.com/fluxcd/pkg/artifact/digest"
	"github.com/fluxcd/pkg/artifact/storage"
)

type file struct {
	Path    string `json:"path"`
	Program bool   `json:"program,omitempty"`
	Link    string `json:"link,omitempty"`
	Folder  bool   `json:"folder,omitempty"`
	// What the content is made by; see content.
	Kind string `json:"kind,omitempty"`
	Seed uint32 `json:"seed,omitempty"`
	Size int    `json:"size,omitempty"`
}

type tree struct {
	Files  []file `json:"files"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

type source uint32

func (s *source) next() uint32 {
	x := uint32(*s)
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	*s = source(x)
	return x
}

// content makes the same bytes as the test does.
func content(kind string, seed uint32, size int) []byte {
	s := source(seed)
	var out []byte
	switch kind {
	case "zeros":
		out = make([]byte, size)
	case "random":
		for len(out) < size {
			out = append(out, byte(s.next()>>24))
		}
	case "nibbles":
		for len(out) < size {
			out = append(out, 'a'+byte(s.next()>>28))
		}
	case "skewed":
		for len(out) < size {
			n := s.next()
			b := byte(0)
			for n&1 == 1 {
				b++
				n >>= 1
			}
			out = append(out, b)
		}
	case "words":
		for len(out) < size {
			out = append(out, fmt.Sprintf("word%d ", s.next()>>26)...)
			if s.next()>>29 == 0 {
				out = append(out, '\n')
			}
		}
	case "yaml":
		for len(out) < size {
			out = append(out, fmt.Sprintf("%skey%d: value-%d\n", strings.Repeat("  ", int(s.next()>>30)), s.next()>>24, s.next()>>22)...)
		}
	case "runs":
		for len(out) < size {
			b := byte(s.next() >> 24)
			for n := s.next() >> 23; ; n-- {
				out = append(out, b)
				if n == 0 {
					break
				}
			}
		}
	case "far":
		// Repetitions at about the distance of the window.
		for len(out) < size {
			if period := 32500 + int(s.next()>>23); len(out) > period && s.next()>>31 == 1 {
				for n := 3 + s.next()>>24; n > 0; n-- {
					out = append(out, out[len(out)-period])
				}
			} else {
				for n := s.next() >> 26; n > 0; n-- {
					out = append(out, byte(s.next()>>24))
				}
			}
		}
	case "mixed":
		kinds := []string{"random", "words", "runs", "nibbles", "zeros", "skewed"}
		for len(out) < size {
			k := kinds[s.next()%6]
			out = append(out, content(k, s.next(), int(s.next()>>15))...)
		}
	}
	return out[:size]
}

func archive(t tree) tree {
	dir, _ := os.MkdirTemp("", "a")
	defer os.RemoveAll(dir)
	store, _ := os.MkdirTemp("", "s")
	defer os.RemoveAll(store)
	for _, f := range t.Files {
		p := filepath.Join(dir, f.Path)
		must(os.MkdirAll(filepath.Dir(p), 0o755))
		mode := os.FileMode(0o644)
		if f.Program {
			mode = 0o755
		}
		switch {
		case f.Folder:
			must(os.MkdirAll(p, 0o755))
		case f.Link != "":
			must(os.Symlink(f.Link, p))
		default:
			must(os.WriteFile(p, content(f.Kind, f.Seed, f.Size), mode))
		}
	}
	s, err := storage.New(&config.Options{StoragePath: store, StorageAddress: "x", StorageAdvAddress: "x", ArtifactRetentionTTL: time.Minute, ArtifactRetentionRecords: 2, ArtifactDigestAlgo: digest.Canonical.String()})
	must(err)
	a := meta.Artifact{Path: "a/b/c.tar.gz"}
	must(s.MkdirAll(a))
	must(s.Archive(&a, dir, nil))
	t.Digest, t.Size = a.Digest, *a.Size
	return t
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func archives() {
	kinds := []string{"zeros", "random", "nibbles", "skewed", "words", "yaml", "runs", "far", "mixed"}
	sizes := []int{0, 1, 3, 4, 5, 100, 511, 512, 513, 1000, 4096, 20000, 32767, 32768, 32769, 65535, 65536, 70000, 131072}
	var ts []tree
	one := func(fs ...file) { ts = append(ts, tree{Files: fs}) }
	ts = append(ts, tree{Files: []file{}})
	seed := uint32(1)
	for _, k := range kinds {
		for _, n := range sizes {
			seed += 7919
			one(file{Path: "f", Kind: k, Seed: seed, Size: n})
		}
		if k == "far" || k == "mixed" || k == "yaml" {
			one(file{Path: "f", Kind: k, Seed: seed, Size: 400_003})
		}
	}
	for i := 0; i < 40; i++ {
		s := source(1000 + i)
		var fs []file
		for n := 1 + s.next()%30; n > 0; n-- {
			fs = append(fs, file{Path: fmt.Sprintf("d%d/e%d/f%d", s.next()>>31, s.next()>>30, n), Program: s.next()>>30 == 0, Kind: kinds[s.next()%9], Seed: s.next(), Size: int(s.next() >> (15 + s.next()%12))})
		}
		one(fs...)
	}
	long := func(n int) string { return strings.Repeat("n", n) }
	y := func(p string) file { return file{Path: p, Kind: "yaml", Seed: 5, Size: 700} }
	for _, p := range []string{long(99), long(100), long(101), long(200), long(90) + "/" + long(100), long(155) + "/" + long(100), long(155) + "/" + long(101), long(156) + "/x", long(50) + "/" + long(50) + "/" + long(54) + "/" + long(50) + "/" + long(99), "é.yaml", "dé/" + long(120), "a/" + strings.Repeat("é", 60), long(98) + "/é", long(99) + "/é", "a b/c\nd", "日本/語.yaml", long(85) + "/日本" + long(9), long(100) + "/" + long(100) + "/é"} {
		one(y(p))
	}
	one(y("b"), y("a.yaml"), y("a/x"), y("a-b/x"), y("a0/x"), y("B"), file{Path: "c", Link: "b"}, file{Path: "empty", Folder: true}, file{Path: "a/link", Link: "../b"}, file{Path: "run.sh", Program: true, Kind: "words", Seed: 9, Size: 50})
	for _, t := range ts {
		out, err := json.Marshal(archive(t))
		must(err)
		fmt.Println(string(out))
	}
}
