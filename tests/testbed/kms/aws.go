package main

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The access key that may do everything but use keys `for-ROLE`, and what containers and signed-in users show.
const (
	accessKey      = "AKIATESTBED"
	secretKey      = "testbed"
	containerToken = "container-testbed"
	ssoToken       = "sso-testbed"
)

type amazon struct {
	keys     *keys
	accounts *rsa.PublicKey
	sessions issued[session]
}

// session is what an id of an access key stands for.
type session struct {
	secret, token, role string
}

type failure struct{ kind, message string }

// order is what both operations of KMS ask.
type order struct {
	KeyId             string
	Plaintext         []byte
	CiphertextBlob    []byte
	EncryptionContext map[string]string
}

var authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/(kms|sts)/aws4_request, ?SignedHeaders=([^,]+), ?Signature=[0-9a-f]{64}$`)

// verify has Amazon's signer sign the same request again, of the headers that the client says it has signed; and says whose
// it is.
func (s *amazon) verify(r *http.Request, body []byte, service string) (session, *failure) {
	refused := &failure{"InvalidSignatureException", "The request signature we calculated does not match the signature you provided."}
	said := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if said == nil || said[4] != service {
		return session{}, &failure{"IncompleteSignatureException", "Authorization header requires a signature."}
	}
	who, known := s.sessions.get(said[1])
	if said[1] == accessKey {
		who, known = session{secret: secretKey}, true
	}
	if !known || who.token != r.Header.Get("X-Amz-Security-Token") {
		return session{}, &failure{"UnrecognizedClientException", "The security token included in the request is invalid."}
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute {
		return session{}, &failure{"InvalidSignatureException", "Signature expired."}
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	for _, name := range strings.Split(said[5], ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		case "x-amz-security-token": // the signer adds it
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	hash := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: said[1], SecretAccessKey: who.secret, SessionToken: who.token}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, again, hex.EncodeToString(hash[:]), service, said[3], at); err != nil {
		return session{}, refused
	}
	without := func(text string) string { return strings.ReplaceAll(text, " ", "") }
	if without(again.Header.Get("Authorization")) != without(r.Header.Get("Authorization")) {
		return session{}, refused
	}
	return who, nil
}

func (s *amazon) kms(r *http.Request, body []byte) (map[string]any, *failure) {
	who, fail := s.verify(r, body, "kms")
	if fail != nil {
		return nil, fail
	}
	var o order
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&o); err != nil {
		return nil, &failure{"SerializationException", err.Error()}
	}
	if _, role, only := strings.Cut(o.KeyId, "for-"); only && role != who.role {
		return nil, &failure{"AccessDeniedException", fmt.Sprintf("User: %q is not authorized to perform: kms on resource: %s", who.role, o.KeyId)}
	}
	context, _ := json.Marshal(o.EncryptionContext) // in the order of its keys
	if len(o.EncryptionContext) == 0 {
		context = nil
	}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		return map[string]any{"CiphertextBlob": s.keys.seal(o.KeyId, o.Plaintext, context), "KeyId": o.KeyId}, nil
	case "TrentService.Decrypt":
		plain, err := s.keys.open(o.KeyId, o.CiphertextBlob, context)
		if err != nil {
			return nil, &failure{"InvalidCiphertextException", ""}
		}
		return map[string]any{"Plaintext": base64.StdEncoding.EncodeToString(plain), "KeyId": o.KeyId}, nil
	}
	return nil, &failure{"UnknownOperationException", ""}
}

// begin makes the access key of a session.
func (s *amazon) begin(role string) (string, session) {
	made := session{secret: "secret/+=" + role, token: "token/+=" + role, role: role}
	return s.sessions.give("ASIA", made), made
}

// sts answers in XML; a role is named by what follows `role/`.
func (s *amazon) sts(w http.ResponseWriter, r *http.Request, body []byte, form url.Values) {
	action, role := form.Get("Action"), form.Get("RoleArn")
	_, name, _ := strings.Cut(role, ":role/")
	var fail *failure
	switch action {
	case "AssumeRole":
		_, fail = s.verify(r, body, "sts")
		if strings.HasPrefix(name, "external") && form.Get("ExternalId") != "outside" {
			fail = &failure{"AccessDenied", "the external id is wrong"}
		}
		if strings.HasPrefix(name, "sops") && !strings.HasPrefix(form.Get("RoleSessionName"), "sops@") {
			fail = &failure{"AccessDenied", "the session is not named as sops does it"}
		}
	case "AssumeRoleWithWebIdentity":
		if _, err := claims(form.Get("WebIdentityToken"), s.accounts, "sts.amazonaws.com"); err != nil {
			fail = &failure{"InvalidIdentityToken", "the web identity " + form.Get("WebIdentityToken") + " is refused: " + err.Error()}
		}
	default:
		fail = &failure{"InvalidAction", action}
	}
	if fail == nil && (name == "" || strings.HasPrefix(name, "refused")) {
		fail = &failure{"AccessDenied", "User is not authorized to perform: sts:" + action + " on resource: " + role}
	}
	w.Header().Set("content-type", "text/xml")
	escape := func(text string) string {
		var b bytes.Buffer
		_ = xml.EscapeText(&b, []byte(text))
		return b.String()
	}
	if fail != nil {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", fail.kind, escape(fail.message))
		return
	}
	id, made := s.begin(name)
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><AssumedRoleUser><Arn>%[2]s</Arn></AssumedRoleUser><Credentials><AccessKeyId>%[3]s</AccessKeyId><SecretAccessKey>%[4]s</SecretAccessKey><SessionToken>%[5]s</SessionToken><Expiration>%[6]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
		action, role, id, escape(made.secret), escape(made.token), end())
}

func end() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339) }

func (s *amazon) local(w http.ResponseWriter, r *http.Request) {
	give := func(role string) map[string]any {
		id, made := s.begin(role)
		return map[string]any{"Code": "Success", "AccessKeyId": id, "SecretAccessKey": made.secret, "Token": made.token, "Expiration": end()}
	}
	refuse := func(status int, message string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"code": "Refused", "message": message})
	}
	w.Header().Set("content-type", "application/json")
	const role = "/latest/meta-data/iam/security-credentials/"
	switch {
	case r.URL.Path == "/container" && r.Header.Get("Authorization") == containerToken:
		_ = json.NewEncoder(w).Encode(give("container"))
	case r.URL.Path == "/container":
		refuse(http.StatusUnauthorized, "the token "+r.Header.Get("Authorization")+" is refused")
	case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut:
		w.Header().Set("content-type", "text/plain")
		w.Header().Set("x-aws-ec2-metadata-token-ttl-seconds", "300")
		fmt.Fprint(w, "metadata-testbed")
	case strings.HasPrefix(r.URL.Path, role) && r.Header.Get("X-Aws-Ec2-Metadata-Token") != "metadata-testbed":
		refuse(http.StatusUnauthorized, "no token")
	case r.URL.Path == role:
		w.Header().Set("content-type", "text/plain")
		fmt.Fprint(w, "instance")
	case r.URL.Path == role+"instance":
		_ = json.NewEncoder(w).Encode(give("instance"))
	case r.URL.Path == "/federation/credentials" && r.Header.Get("X-Amz-Sso_bearer_token") == ssoToken:
		id, made := s.begin(r.URL.Query().Get("role_name"))
		given := map[string]any{"accessKeyId": id, "secretAccessKey": made.secret, "sessionToken": made.token, "expiration": time.Now().Add(time.Hour).UnixMilli()}
		_ = json.NewEncoder(w).Encode(map[string]any{"roleCredentials": given})
	case r.URL.Path == "/federation/credentials":
		refuse(http.StatusUnauthorized, "Session token not found or invalid")
	default:
		refuse(http.StatusNotFound, "there is nothing at "+r.URL.Path)
	}
}

func (s *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path != "/" {
		s.local(w, r)
		return
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		s.sts(w, r, body, form)
		return
	}
	answer, fail := s.kms(r, body)
	w.Header().Set("content-type", "application/x-amz-json-1.1")
	if fail != nil {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]any{"__type": fail.kind, "message": fail.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}
