// A Key Vault data plane (API 7.x) in memory, to stand behind vault-proxy.mjs.
//
// Requests and answers are the models of Microsoft's Azure SDK for Go, so their fields, encodings and times are not ours; the
// behaviour (versions, soft delete, paging, states) is. Cryptography is real. It neither checks tokens nor terminates TLS: the
// proxy before it does. The vault is the Host header; a vault exists once it is named.
// usage: keyvault -listen 127.0.0.1:8080
package main

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	retention     = 90 * 24 * time.Hour
	recoveryLevel = "Recoverable+Purgeable"
)

// version is one version of a secret, key or certificate.
type version struct {
	ID               string
	Created, Updated time.Time
	Enabled          bool
	NotBefore        *time.Time
	Expires          *time.Time
	Tags             map[string]*string
	Managed          bool // by a certificate of the same name

	Value, ContentType string                            // secrets
	Key                crypto.Signer                     `json:"-"` // keys
	KeyOps             []*azkeys.KeyOperation            // keys
	CER                []byte                            // certificates
	Policy             *azcertificates.CertificatePolicy // certificates
}

// object is a named thing with its versions, newest last. Deleted holds the time of its soft deletion.
type object struct {
	Versions []*version
	Deleted  *time.Time
}

type vault map[string]map[string]*object // kind ("secrets", "keys", "certificates") -> name

type server struct {
	mux    *http.ServeMux
	mu     sync.Mutex
	vaults map[string]vault
}

// failure is an error as Key Vault words it.
type failure struct {
	status               int
	code, message, inner string
}

func missing(kind, name string) *failure {
	code := map[string]string{"secrets": "SecretNotFound", "keys": "KeyNotFound", "certificates": "CertificateNotFound"}[kind]
	return &failure{404, code, fmt.Sprintf("A %s with (name/id) %s was not found in this key vault.", strings.TrimSuffix(kind, "s"), name), ""}
}

func bad(message string) *failure { return &failure{400, "BadParameter", message, ""} }

// call is one request against one vault, with the server locked.
type call struct {
	*http.Request
	vault vault
	kind  string
	base  string // https://host
}

func (c *call) name() string { return c.PathValue("name") }

func (c *call) id(kind, name, id string) string {
	return strings.TrimSuffix(c.base+"/"+kind+"/"+name+"/"+id, "/")
}

func (c *call) read(into any) *failure {
	if err := json.NewDecoder(c.Body).Decode(into); err != nil {
		return bad(err.Error())
	}
	return nil
}

// live finds an object that is not deleted, and one of its versions ("" is the newest).
func (c *call) live(kind, id string) (*object, *version, *failure) {
	o := c.vault[kind][c.name()]
	if o == nil || o.Deleted != nil {
		return nil, nil, missing(kind, c.name())
	}
	if id == "" {
		return o, o.Versions[len(o.Versions)-1], nil
	}
	for _, v := range o.Versions {
		if v.ID == id {
			return o, v, nil
		}
	}
	return nil, nil, missing(kind, c.name()+"/"+id)
}

// add appends a version, or refuses when the name is deleted but recoverable.
func (c *call) add(kind string, v *version) *failure {
	o := c.vault[kind][c.name()]
	if o != nil && o.Deleted != nil {
		return &failure{409, "Conflict", c.name() + " is currently in a deleted but recoverable state, and its name cannot be reused.", "ObjectIsDeletedButRecoverable"}
	}
	if o == nil {
		o = &object{}
		c.vault[kind][c.name()] = o
	}
	o.Versions = append(o.Versions, v)
	return nil
}

func newVersion(enabled *bool, notBefore, expires *time.Time, tags map[string]*string) *version {
	id := make([]byte, 16)
	rand.Read(id)
	now := time.Now().UTC().Truncate(time.Second)
	return &version{ID: hex.EncodeToString(id), Created: now, Updated: now, Enabled: enabled == nil || *enabled, NotBefore: notBefore, Expires: expires, Tags: tags}
}

// bundle renders one version as its kind is shown; item is the shorter form of lists.
func (c *call) bundle(kind, name string, v *version) any {
	switch kind {
	case "secrets":
		id := azsecrets.ID(c.id(kind, name, v.ID))
		s := azsecrets.Secret{ID: &id, Value: &v.Value, Attributes: secretAttributes(v), Tags: v.Tags}
		if v.ContentType != "" {
			s.ContentType = &v.ContentType
		}
		if v.Managed {
			kid := azsecrets.ID(c.id("keys", name, v.ID))
			s.KID, s.Managed = &kid, &v.Managed
		}
		return s
	case "keys":
		return c.keyBundle(name, v)
	}
	return c.certificate(name, v)
}

func (c *call) item(kind, name, id string, v *version) any {
	switch kind {
	case "secrets":
		at := azsecrets.ID(c.id(kind, name, id))
		p := azsecrets.SecretProperties{ID: &at, Attributes: secretAttributes(v), Tags: v.Tags}
		if v.ContentType != "" {
			p.ContentType = &v.ContentType
		}
		if v.Managed {
			p.Managed = &v.Managed
		}
		return p
	case "keys":
		at := azkeys.ID(c.id(kind, name, id))
		p := azkeys.KeyProperties{KID: &at, Attributes: keyAttributes(v), Tags: v.Tags}
		if v.Managed {
			p.Managed = &v.Managed
		}
		return p
	}
	at := azcertificates.ID(c.id(kind, name, id))
	return azcertificates.CertificateProperties{ID: &at, Attributes: certificateAttributes(v), Tags: v.Tags, X509Thumbprint: thumbprint(v)}
}

func secretAttributes(v *version) *azsecrets.SecretAttributes {
	days, level := int32(retention/(24*time.Hour)), recoveryLevel
	return &azsecrets.SecretAttributes{Enabled: &v.Enabled, Created: &v.Created, Updated: &v.Updated, NotBefore: v.NotBefore, Expires: v.Expires, RecoverableDays: &days, RecoveryLevel: &level}
}

// deleted renders a soft-deleted object: its newest version with the data of its deletion.
func (c *call) deleted(kind, name string, o *object, short bool) any {
	v := o.Versions[len(o.Versions)-1]
	var shown any = c.bundle(kind, name, v)
	if short {
		shown = c.item(kind, name, "", v)
	}
	text, _ := json.Marshal(shown)
	fields := map[string]any{}
	_ = json.Unmarshal(text, &fields)
	delete(fields, "value")
	fields["recoveryId"] = c.base + "/deleted" + kind + "/" + name
	fields["deletedDate"] = o.Deleted.Unix()
	fields["scheduledPurgeDate"] = o.Deleted.Add(retention).Unix()
	return fields
}

// page answers a list, maxresults (at most 25) at a time, with a nextLink while there is more.
func (c *call) page(items []any) any {
	size, _ := strconv.Atoi(c.URL.Query().Get("maxresults"))
	if size <= 0 || size > 25 {
		size = 25
	}
	skip, _ := strconv.Atoi(c.URL.Query().Get("$skiptoken"))
	skip = min(skip, len(items))
	end := min(skip+size, len(items))
	answer := map[string]any{"value": append([]any{}, items[skip:end]...), "nextLink": nil}
	if end < len(items) {
		answer["nextLink"] = fmt.Sprintf("%s%s?api-version=%s&$skiptoken=%d&maxresults=%d", c.base, c.URL.Path, c.URL.Query().Get("api-version"), end, size)
	}
	return answer
}

func (c *call) sortedNames(deleted bool) []string {
	names := []string{}
	for name, o := range c.vault[c.kind] {
		if (o.Deleted != nil) == deleted {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (c *call) list() (any, *failure) {
	items := []any{}
	for _, name := range c.sortedNames(false) {
		versions := c.vault[c.kind][name].Versions
		items = append(items, c.item(c.kind, name, "", versions[len(versions)-1]))
	}
	return c.page(items), nil
}

func (c *call) listVersions() (any, *failure) {
	items := []any{}
	if o := c.vault[c.kind][c.name()]; o != nil && o.Deleted == nil {
		for _, v := range o.Versions {
			items = append(items, c.item(c.kind, c.name(), v.ID, v))
		}
	}
	return c.page(items), nil
}

func (c *call) get() (any, *failure) {
	_, v, fail := c.live(c.kind, c.PathValue("version"))
	if fail != nil {
		return nil, fail
	}
	if c.kind == "secrets" && !v.Enabled {
		return nil, &failure{403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled"}
	}
	return c.bundle(c.kind, c.name(), v), nil
}

func (c *call) setSecret() (any, *failure) {
	var p azsecrets.SetSecretParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Value == nil {
		return nil, bad("The request body is missing the property value.")
	}
	a := p.SecretAttributes
	if a == nil {
		a = &azsecrets.SecretAttributes{}
	}
	v := newVersion(a.Enabled, a.NotBefore, a.Expires, p.Tags)
	v.Value = *p.Value
	if p.ContentType != nil {
		v.ContentType = *p.ContentType
	}
	return c.bundle("secrets", c.name(), v), c.add("secrets", v)
}

// update changes attributes and tags, which all kinds carry in the same form.
func (c *call) update() (any, *failure) {
	var p azsecrets.UpdateSecretPropertiesParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	_, v, fail := c.live(c.kind, c.PathValue("version"))
	if fail != nil {
		return nil, fail
	}
	if p.Tags != nil {
		v.Tags = p.Tags
	}
	if p.ContentType != nil {
		v.ContentType = *p.ContentType
	}
	if a := p.SecretAttributes; a != nil {
		if a.Enabled != nil {
			v.Enabled = *a.Enabled
		}
		if a.Expires != nil {
			v.Expires = a.Expires
		}
		if a.NotBefore != nil {
			v.NotBefore = a.NotBefore
		}
	}
	v.Updated = time.Now().UTC().Truncate(time.Second)
	return c.bundle(c.kind, c.name(), v), nil
}

func (c *call) remove() (any, *failure) {
	o, _, fail := c.live(c.kind, "")
	if fail != nil {
		return nil, fail
	}
	now := time.Now().UTC()
	o.Deleted = &now
	return c.deleted(c.kind, c.name(), o, false), nil
}

func (c *call) gone() (*object, *failure) {
	if o := c.vault[c.kind][c.name()]; o != nil && o.Deleted != nil {
		return o, nil
	}
	return nil, missing(c.kind, c.name())
}

func (c *call) getDeleted() (any, *failure) {
	o, fail := c.gone()
	if fail != nil {
		return nil, fail
	}
	return c.deleted(c.kind, c.name(), o, false), nil
}

func (c *call) listDeleted() (any, *failure) {
	items := []any{}
	for _, name := range c.sortedNames(true) {
		items = append(items, c.deleted(c.kind, name, c.vault[c.kind][name], true))
	}
	return c.page(items), nil
}

func (c *call) recover() (any, *failure) {
	o, fail := c.gone()
	if fail != nil {
		return nil, fail
	}
	o.Deleted = nil
	return c.bundle(c.kind, c.name(), o.Versions[len(o.Versions)-1]), nil
}

func (c *call) purge() (any, *failure) {
	if _, fail := c.gone(); fail != nil {
		return nil, fail
	}
	delete(c.vault[c.kind], c.name())
	return nil, nil
}

// handle wraps an operation: it locks, finds the vault, and writes the answer or the failure.
func (s *server) handle(kind string, status int, operation func(*call) (any, *failure)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.vaults[r.Host] == nil {
			s.vaults[r.Host] = vault{"secrets": {}, "keys": {}, "certificates": {}}
		}
		c := &call{Request: r, vault: s.vaults[r.Host], kind: kind, base: "https://" + r.Host}
		var answer any
		fail := bad("The api-version query parameter is required.")
		if r.URL.Query().Has("api-version") {
			answer, fail = operation(c)
		}
		w.Header().Set("content-type", "application/json; charset=utf-8")
		w.Header().Set("x-ms-request-id", base64.RawURLEncoding.EncodeToString([]byte(time.Now().String())))
		switch {
		case fail != nil:
			body := map[string]any{"code": fail.code, "message": fail.message}
			if fail.inner != "" {
				body["innererror"] = map[string]string{"code": fail.inner}
			}
			w.WriteHeader(fail.status)
			answer = map[string]any{"error": body}
		case answer == nil:
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			w.WriteHeader(status)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func (s *server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	on := func(pattern, kind string, status int, operation func(*call) (any, *failure)) {
		mux.HandleFunc(strings.ReplaceAll(pattern, "KIND", kind), s.handle(kind, status, operation))
	}
	for _, kind := range []string{"secrets", "keys", "certificates"} {
		on("GET /KIND", kind, 200, (*call).list)
		on("GET /KIND/{name}/versions", kind, 200, (*call).listVersions)
		on("GET /KIND/{name}", kind, 200, (*call).get)
		on("GET /KIND/{name}/{$}", kind, 200, (*call).get)
		on("GET /KIND/{name}/{version}", kind, 200, (*call).get)
		on("PATCH /KIND/{name}/{version}", kind, 200, (*call).update)
		on("DELETE /KIND/{name}", kind, 200, (*call).remove)
		on("GET /deletedKIND", kind, 200, (*call).listDeleted)
		on("GET /deletedKIND/{name}", kind, 200, (*call).getDeleted)
		on("DELETE /deletedKIND/{name}", kind, 204, (*call).purge)
		on("POST /deletedKIND/{name}/recover", kind, 200, (*call).recover)
	}
	on("PUT /secrets/{name}", "secrets", 200, (*call).setSecret)
	on("POST /keys/{name}/create", "keys", 200, (*call).createKey)
	on("POST /keys/{name}/rotate", "keys", 200, (*call).rotateKey)
	on("PUT /keys/{name}", "keys", 200, (*call).importKey)
	on("POST /keys/{name}/{operation}", "keys", 200, (*call).useKey)
	on("POST /keys/{name}/{version}/{operation}", "keys", 200, (*call).useKey)
	on("POST /certificates/{name}/create", "certificates", 202, (*call).createCertificate)
	on("POST /certificates/{name}/import", "certificates", 200, (*call).importCertificate)
	on("GET /certificates/{name}/pending", "certificates", 200, (*call).pendingCertificate)
	return mux
}

// ServeHTTP accepts the empty path segment that SDK clients send for "newest version"; ServeMux would redirect it.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/")
	s.mux.ServeHTTP(w, r)
}

func newServer() *server {
	s := &server{vaults: map[string]vault{}}
	s.mux = s.routes()
	return s
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address, plain HTTP")
	flag.Parse()
	fmt.Println("keyvault listens on", *listen)
	log.Fatal(http.ListenAndServe(*listen, newServer()))
}
