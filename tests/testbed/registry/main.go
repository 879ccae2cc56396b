// An OCI registry in memory, with the referrers API that signatures need and, if asked, basic auth or tokens.
// usage: oci -listen 127.0.0.1:5000 [-user name:password [-token]] [-cert FILE -key FILE]
package main

import (
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5000", "address")
	user := flag.String("user", "", "name:password that every request must carry")
	token := flag.Bool("token", false, "requests carry a token instead, which /token gives for the password")
	cert := flag.String("cert", "", "TLS certificate; plain HTTP without")
	key := flag.String("key", "", "TLS key")
	flag.Parse()
	oci := registry.New(registry.WithReferrersSupport(true))
	authorized := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if *user != "" && name+":"+password != *user {
			w.Header().Set("WWW-Authenticate", `Basic realm="oci"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		oci.ServeHTTP(w, r)
	})
	var handler http.Handler = authorized
	if *token {
		handler = &tokens{user: *user, oci: oci}
	}
	if *cert == "" {
		log.Fatal(http.ListenAndServe(*listen, handler))
	}
	log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, handler))
}

// A registry that asks for tokens, as Docker's does: each for one repository, and for what its scope names.
type tokens struct {
	user  string
	oci   http.Handler
	given sync.Map // token -> scope
}

func (t *tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		t.give(w, r)
		return
	}
	scope, _ := t.given.Load(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	action := "push"
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		action = "pull"
	}
	if granted, _ := scope.(string); !covers(granted, r.URL.Path, action) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="oci"`, r.Host))
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	t.oci.ServeHTTP(w, r)
}

// scope is `repository:NAME:pull,push`.
func covers(scope, path, action string) bool {
	parts := strings.Split(scope, ":")
	return len(parts) == 3 && strings.HasPrefix(path, "/v2/"+parts[1]+"/") && strings.Contains(parts[2], action)
}

func (t *tokens) give(w http.ResponseWriter, r *http.Request) {
	name, password, _ := r.BasicAuth()
	if name+":"+password != t.user || r.FormValue("service") != "oci" {
		http.Error(w, `{"errors":[{"code":"DENIED"}]}`, http.StatusUnauthorized)
		return
	}
	token := rand.Text()
	t.given.Store(token, r.FormValue("scope"))
	json.NewEncoder(w).Encode(map[string]string{"token": token})
}
