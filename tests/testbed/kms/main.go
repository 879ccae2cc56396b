// Stand-ins for AWS KMS and Google Cloud KMS, and for what gives credentials for them: STS, metadata, containers, single
// sign-on; Google's issuers of tokens. A key exists once it is named.
//
// Amazon's own signer says what the signature of a request must be. The judge of the rest is the client inside sops.
// usage: kms -listen 127.0.0.1:8080 -tls 127.0.0.1:8443 -cert FILE -key FILE -accounts FILE -google FILE
//
// -accounts is the public key of the cluster's ServiceAccounts, -google that of Google's service account `sops`.
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
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// keys of both clouds, by their names.
type keys struct {
	mu    sync.Mutex
	known map[string]cipher.AEAD
}

func (k *keys) get(name string) cipher.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[name] == nil {
		secret := make([]byte, 32)
		rand.Read(secret)
		block, _ := aes.NewCipher(secret)
		k.known[name], _ = cipher.NewGCM(block)
	}
	return k.known[name]
}

func (k *keys) seal(name string, plain, context []byte) []byte {
	aead := k.get(name)
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, context)
}

func (k *keys) open(name string, sealed, context []byte) ([]byte, error) {
	aead := k.get(name)
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("too short")
	}
	return aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], context)
}

// issued is what was given away, by its text, until the process ends.
type issued[T any] struct {
	mu    sync.Mutex
	count int
	known map[string]T
}

func (i *issued[T]) give(prefix string, to T) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	random := make([]byte, 12)
	rand.Read(random)
	text := fmt.Sprintf("%s%d%x", prefix, i.count, random)
	if i.known == nil {
		i.known = map[string]T{}
	}
	i.known[text] = to
	return text
}

func (i *issued[T]) get(text string) (T, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	found, ok := i.known[text]
	return found, ok
}

// claims of a token that a key of RSA has signed, if they are of now and for the audience; an empty one is not asked for.
func claims(token string, key *rsa.PublicKey, audience string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, hash[:], signature); err != nil {
		return nil, err
	}
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	said := map[string]any{}
	if err := json.Unmarshal(payload, &said); err != nil {
		return nil, err
	}
	if end, _ := said["exp"].(float64); float64(time.Now().Unix()) > end {
		return nil, errors.New("expired")
	}
	if audience != "" && !strings.Contains(fmt.Sprint(said["aud"]), audience) {
		return nil, fmt.Errorf("audience %v", said["aud"])
	}
	return said, nil
}

func publicKey(file string) *rsa.PublicKey {
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		log.Fatal(err)
	}
	return key.(*rsa.PublicKey)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address, plain HTTP")
	secure := flag.String("tls", "127.0.0.1:8443", "address, TLS")
	cert, key := flag.String("cert", "", "certificate of the real names"), flag.String("key", "", "its key")
	accounts := flag.String("accounts", "", "public key of ServiceAccounts")
	google := flag.String("google", "", "public key of Google's service account")
	flag.Parse()
	all := &keys{known: map[string]cipher.AEAD{}}
	amazon := &amazon{keys: all, accounts: publicKey(*accounts)}
	alphabet := &alphabet{keys: all, accounts: publicKey(*accounts), google: publicKey(*google)}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Host, ".googleapis.com") || strings.HasPrefix(r.URL.Path, "/v1/projects/") || strings.HasPrefix(r.URL.Path, "/computeMetadata/") {
			alphabet.ServeHTTP(w, r)
		} else {
			amazon.ServeHTTP(w, r)
		}
	})
	go func() { log.Fatal(http.ListenAndServeTLS(*secure, *cert, *key, handler)) }()
	fmt.Println("kms listens on", *listen, "and", *secure)
	log.Fatal(http.ListenAndServe(*listen, handler))
}
