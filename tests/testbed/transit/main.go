// A stand-in for the transit engine of Vault and OpenBao, whose modules the Go proxy does not serve: keys with versions,
// AES-256-GCM, ciphertext `vault:v1:…`, and Vault's own words when it refuses. Every path `/v1/MOUNT/` is an engine of its
// own, in every namespace (X-Vault-Namespace) another. The judge is the client inside sops.
// usage: transit -listen 127.0.0.1:8200 -token TOKEN
package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

type server struct {
	token string
	mu    sync.Mutex
	keys  map[string][]cipher.AEAD // namespace, mount and name -> versions, the newest last
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

// answer finds the engine in the path: /v1/MOUNT/encrypt/NAME, and likewise decrypt, keys and keys/NAME/rotate.
func (s *server) answer(r *http.Request) (map[string]any, *refusal) {
	if r.Header.Get("X-Vault-Token") != s.token {
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
	flag.Parse()
	fmt.Println("transit listens on", *listen)
	log.Fatal(http.ListenAndServe(*listen, &server{token: *token, keys: map[string][]cipher.AEAD{}}))
}
