// An OCI registry in memory, with the referrers API that signatures need and, if asked, basic auth.
// usage: oci -listen 127.0.0.1:5000 [-user name:password] [-cert FILE -key FILE]
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5000", "address")
	user := flag.String("user", "", "name:password that every request must carry")
	cert := flag.String("cert", "", "TLS certificate; plain HTTP without")
	key := flag.String("key", "", "TLS key")
	flag.Parse()
	oci := registry.New(registry.WithReferrersSupport(true))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if *user != "" && name+":"+password != *user {
			w.Header().Set("WWW-Authenticate", `Basic realm="oci"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		oci.ServeHTTP(w, r)
	})
	if *cert == "" {
		log.Fatal(http.ListenAndServe(*listen, handler))
	}
	log.Fatal(http.ListenAndServeTLS(*listen, *cert, *key, handler))
}
