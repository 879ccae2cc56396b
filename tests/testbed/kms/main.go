// A stand-in for AWS KMS: Encrypt and Decrypt of symmetric keys, in JSON as the SDKs speak it. A key exists once it is named.
//
// Amazon's own signer says what the signature of a request must be. The judge of the rest is the client inside sops.
// usage: kms -listen 127.0.0.1:8080 -id ID -secret SECRET
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

type server struct {
	credentials aws.Credentials
	mu          sync.Mutex
	keys        map[string]cipher.AEAD
}

type failure struct{ kind, message string }

// order is what both operations ask.
type order struct {
	KeyId             string
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/kms/aws4_request, ?SignedHeaders=([^,]+), ?Signature=[0-9a-f]{64}$`)

// verify has Amazon's signer sign the same request again, of the headers that the client says it has signed.
func (s *server) verify(r *http.Request, body []byte) *failure {
	refused := &failure{"InvalidSignatureException", "The request signature we calculated does not match the signature you provided."}
	said := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if said == nil {
		return &failure{"IncompleteSignatureException", "Authorization header requires a signature."}
	}
	if said[1] != s.credentials.AccessKeyID {
		return &failure{"UnrecognizedClientException", "The security token included in the request is invalid."}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return &failure{"InvalidSignatureException", "Signature expired."}
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	for _, name := range strings.Split(said[4], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(r.Context(), s.credentials, again, hex.EncodeToString(hash[:]), "kms", said[3], at); err != nil {
		return refused
	}
	without := func(text string) string { return strings.ReplaceAll(text, " ", "") }
	if without(again.Header.Get("Authorization")) != without(r.Header.Get("Authorization")) {
		return refused
	}
	return nil
}

// key is made of a name that has none yet; the encryption context is its additional data.
func (s *server) key(name string) cipher.AEAD {
	if s.keys[name] == nil {
		secret := make([]byte, 32)
		rand.Read(secret)
		block, _ := aes.NewCipher(secret)
		s.keys[name], _ = cipher.NewGCM(block)
	}
	return s.keys[name]
}

func (s *server) answer(r *http.Request) (map[string]any, *failure) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &failure{"SerializationException", err.Error()}
	}
	if fail := s.verify(r, body); fail != nil {
		return nil, fail
	}
	var o order
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&o); err != nil {
		return nil, &failure{"SerializationException", err.Error()}
	}
	context, _ := json.Marshal(o.EncryptionContext) // in the order of its keys
	if len(o.EncryptionContext) == 0 {
		context = nil
	}
	aead := s.key(o.KeyId)
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		nonce := make([]byte, aead.NonceSize())
		rand.Read(nonce)
		return map[string]any{"CiphertextBlob": aead.Seal(nonce, nonce, o.Plaintext, context), "KeyId": o.KeyId}, nil
	case "TrentService.Decrypt":
		if len(o.CiphertextBlob) < aead.NonceSize() {
			return nil, &failure{"InvalidCiphertextException", ""}
		}
		plain, err := aead.Open(nil, o.CiphertextBlob[:aead.NonceSize()], o.CiphertextBlob[aead.NonceSize():], context)
		if err != nil {
			return nil, &failure{"InvalidCiphertextException", ""}
		}
		return map[string]any{"Plaintext": base64.StdEncoding.EncodeToString(plain), "KeyId": o.KeyId}, nil
	}
	return nil, &failure{"UnknownOperationException", ""}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, fail := s.answer(r)
	w.Header().Set("content-type", "application/x-amz-json-1.1")
	if fail != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": fail.kind, "message": fail.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address, plain HTTP")
	id := flag.String("id", "", "id of the access key that may do everything")
	secret := flag.String("secret", "", "its secret")
	flag.Parse()
	fmt.Println("kms listens on", *listen)
	credentials := aws.Credentials{AccessKeyID: *id, SecretAccessKey: *secret}
	log.Fatal(http.ListenAndServe(*listen, &server{credentials: credentials, keys: map[string]cipher.AEAD{}}))
}
