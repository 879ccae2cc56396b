// A stand-in for the transit engine of Vault and OpenBao, whose modules the Go proxy does not serve: keys with versions,
// AES-256-GCM, ciphertext `vault:v1:…`, and Vault's own words when it refuses. Every path `/v1/MOUNT/` is an engine of its
// own, in every namespace (X-Vault-Namespace) another. At auth/kubernetes/login the ServiceAccounts log in whose tokens are for
// this server, each in the role NAMESPACE_NAME. The judge is the client inside sops.
// usage: transit -listen 127.0.0.1:8200 -token TOKEN -accounts FILE -tls 127.0.0.1:8201 -cert FILE -key FILE
package main

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

type server struct {
	token    string
	accounts *rsa.PublicKey
	mu       sync.Mutex
	keys     map[string][]cipher.AEAD // namespace, mount and name -> versions, the newest last
	given    map[string]bool          // tokens of who has logged in
}

// refusal is an answer that is no success.
type refusal struct {
	status  int
	message string
}

func bad(message string) *refusal { return &refusal{http.StatusBadRequest, message} }

func newKey() cipher.AEAD {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, _ := aes.NewCipher(secret)
	aead, _ := cipher.NewGCM(block)
	return aead
}

func (s *server) encrypt(id string, body map[string]string) (map[string]any, *refusal) {
	plain, err := base64.StdEncoding.DecodeString(body["plaintext"])
	if err != nil {
		return nil, bad("failed to base64-decode plaintext")
	}
	if len(s.keys[id]) == 0 { // who may create keys does so by encrypting
		s.keys[id] = []cipher.AEAD{newKey()}
	}
	version := len(s.keys[id])
	aead := s.keys[id][version-1]
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	sealed := base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, nil))
	return map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", version, sealed), "key_version": version}, nil
}

func (s *server) decrypt(id string, body map[string]string) (map[string]any, *refusal) {
	if len(s.keys[id]) == 0 {
		return nil, bad("encryption key not found")
	}
	rest, found := strings.CutPrefix(body["ciphertext"], "vault:v")
	number, encoded, split := strings.Cut(rest, ":")
	version, err := strconv.Atoi(number)
	if !found || !split || err != nil {
		return nil, bad("invalid ciphertext: no prefix")
	}
	if version < 1 || version > len(s.keys[id]) {
		return nil, bad("invalid ciphertext: version is too new")
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, bad("invalid ciphertext: could not decode base64")
	}
	aead := s.keys[id][version-1]
	if len(sealed) < aead.NonceSize() {
		return nil, bad("invalid ciphertext length")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, bad("cipher: message authentication failed")
	}
	return map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plain)}, nil
}

// login gives a token to a ServiceAccount.
func (s *server) login(r *http.Request) (map[string]any, *refusal) {
	var body struct{ Role, Jwt string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	denied := &refusal{http.StatusForbidden, "the token " + body.Jwt + " is not permitted the role " + body.Role}
	parts := strings.Split(body.Jwt, ".")
	if len(parts) != 3 {
		return nil, denied
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Sub string
		Aud []string
	}
	if rsa.VerifyPKCS1v15(s.accounts, crypto.SHA256, hash[:], signature) != nil || json.Unmarshal(payload, &claims) != nil {
		return nil, denied
	}
	account := strings.ReplaceAll(strings.TrimPrefix(claims.Sub, "system:serviceaccount:"), ":", "_")
	if body.Role != account || len(claims.Aud) != 1 || !strings.HasSuffix(claims.Aud[0], "://"+r.Host) {
		return nil, denied
	}
	random := make([]byte, 12)
	rand.Read(random)
	token := fmt.Sprintf("hvs.%x", random)
	s.given[token] = true
	return map[string]any{"client_token": token, "lease_duration": 3600, "renewable": true}, nil
}

// answer finds the engine in the path: /v1/MOUNT/encrypt/NAME, and likewise decrypt, keys and keys/NAME/rotate.
func (s *server) answer(r *http.Request) (map[string]any, *refusal) {
	if token := r.Header.Get("X-Vault-Token"); token != s.token && !s.given[token] {
		return nil, &refusal{http.StatusForbidden, "permission denied"}
	}
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		return nil, &refusal{http.StatusMethodNotAllowed, "unsupported operation"}
	}
	body := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&body)
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	rotates := parts[len(parts)-1] == "rotate"
	if rotates {
		parts = parts[:len(parts)-1]
	}
	if len(parts) < 3 {
		return nil, &refusal{http.StatusNotFound, "no handler for route \"" + r.URL.Path + "\""}
	}
	mount, operation, name := strings.Join(parts[:len(parts)-2], "/"), parts[len(parts)-2], parts[len(parts)-1]
	id := r.Header.Get("X-Vault-Namespace") + "|" + mount + "|" + name
	switch {
	case operation == "encrypt":
		return s.encrypt(id, body)
	case operation == "decrypt":
		return s.decrypt(id, body)
	case operation == "keys" && (rotates || len(s.keys[id]) == 0):
		s.keys[id] = append(s.keys[id], newKey())
		return nil, nil
	case operation == "keys":
		return nil, nil
	}
	return nil, &refusal{http.StatusNotFound, "no handler for route \"" + r.URL.Path + "\""}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.URL.Path == "/v1/auth/kubernetes/login" {
		given, refused := s.login(r)
		if refused == nil {
			w.Header().Set("content-type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "testbed", "auth": given})
			return
		}
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{refused.message}})
		return
	}
	data, refused := s.answer(r)
	w.Header().Set("content-type", "application/json")
	switch {
	case refused != nil:
		w.WriteHeader(refused.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{refused.message}})
	case data == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"request_id": "testbed", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data})
	}
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8200", "address, plain HTTP")
	token := flag.String("token", "", "the token that may do everything")
	accounts := flag.String("accounts", "", "public key of ServiceAccounts")
	secure := flag.String("tls", "127.0.0.1:8201", "address, TLS")
	cert, key := flag.String("cert", "", "certificate"), flag.String("key", "", "its key")
	flag.Parse()
	text, err := os.ReadFile(*accounts)
	if err != nil {
		log.Fatal(err)
	}
	block, _ := pem.Decode(text)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	all := &server{token: *token, accounts: public.(*rsa.PublicKey), keys: map[string][]cipher.AEAD{}, given: map[string]bool{}}
	go func() { log.Fatal(http.ListenAndServeTLS(*secure, *cert, *key, all)) }()
	fmt.Println("transit listens on", *listen, "and", *secure)
	log.Fatal(http.ListenAndServe(*listen, all))
}
