package main

import (
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// What gcloud's file of credentials holds here, the token of whoever makes tokens elsewhere, and the service account with a
// key.
const (
	person         = "client-testbed secret-testbed refresh-testbed"
	givenToken     = "testbed"
	serviceAccount = "sops@testbed.iam.gserviceaccount.com"
	quotaProject   = "quota-testbed"
)

type alphabet struct {
	keys             *keys
	accounts, google *rsa.PublicKey
	tokens           issued[string]
}

var key = regexp.MustCompile(`^/v1/(projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/:]+):(encrypt|decrypt)$`)
var impersonated = regexp.MustCompile(`^/v1/projects/-/serviceAccounts/([^/:]+):generateAccessToken$`)

// who a bearer token belongs to.
func (s *alphabet) who(r *http.Request) (string, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return "", fmt.Errorf("no token")
	}
	if token == givenToken {
		return "given", nil
	}
	if who, known := s.tokens.get(token); known {
		return who, nil
	}
	said, err := claims(token, s.google, "")
	if err != nil {
		return "", err
	}
	if said["iss"] != serviceAccount || said["sub"] != serviceAccount || !strings.Contains(fmt.Sprint(said["scope"]), "auth/cloud-platform") {
		return "", fmt.Errorf("claims %v", said)
	}
	return serviceAccount, nil
}

func (s *alphabet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "application/json")
	answer := func(status int, body any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(status int, message string) {
		answer(status, map[string]any{"error": map[string]any{"code": status, "message": message, "status": "REFUSED"}})
	}
	if strings.HasPrefix(r.URL.Path, "/computeMetadata/v1/") {
		s.metadata(w, r, answer)
		return
	}
	if r.Host == "oauth2.googleapis.com" || r.Host == "sts.googleapis.com" {
		s.token(r, answer)
		return
	}
	who, err := s.who(r)
	if err != nil {
		refuse(http.StatusUnauthorized, "Request had invalid authentication credentials: "+r.Header.Get("Authorization")+": "+err.Error())
		return
	}
	if account := impersonated.FindStringSubmatch(r.URL.Path); account != nil {
		if strings.HasPrefix(account[1], "refused") {
			refuse(http.StatusForbidden, "Permission 'iam.serviceAccounts.getAccessToken' denied on resource")
			return
		}
		answer(http.StatusOK, map[string]any{"accessToken": s.tokens.give("ya29.", account[1]+" by "+who), "expireTime": end()})
		return
	}
	named := key.FindStringSubmatch(r.URL.Path)
	if named == nil {
		refuse(http.StatusNotFound, "there is nothing at "+r.URL.Path)
		return
	}
	// A key `for-WHO` is used by one alone; people name a project that pays.
	if _, only, is := strings.Cut(named[1], "/cryptoKeys/for-"); is && !strings.HasPrefix(who, only) {
		refuse(http.StatusForbidden, "Permission 'cloudkms.cryptoKeyVersions' denied on resource '"+named[1]+"' for "+who)
		return
	}
	if strings.HasPrefix(who, "person") && r.Header.Get("X-Goog-User-Project") != quotaProject {
		refuse(http.StatusForbidden, "The API requires a quota project, which is not set by default")
		return
	}
	var body struct{ Plaintext, Ciphertext []byte }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	if named[2] == "encrypt" {
		answer(http.StatusOK, map[string]any{"name": named[1] + "/cryptoKeyVersions/1", "ciphertext": s.keys.seal(named[1], body.Plaintext, nil)})
		return
	}
	plain, err := s.keys.open(named[1], body.Ciphertext, nil)
	if err != nil {
		refuse(http.StatusBadRequest, "Decryption failed: the ciphertext is invalid.")
		return
	}
	answer(http.StatusOK, map[string]any{"plaintext": plain})
}

// token issues one for what gcloud keeps, or for a token of a ServiceAccount.
func (s *alphabet) token(r *http.Request, answer func(int, any)) {
	_ = r.ParseForm()
	form := func(name string) string { return r.PostForm.Get(name) }
	var who string
	switch {
	case r.Host == "sts.googleapis.com":
		audience := strings.TrimPrefix(form("audience"), "//iam.googleapis.com/")
		if pool, provider, gke := strings.Cut(strings.TrimPrefix(audience, "identitynamespace:"), ":https:"); gke && provider != "" {
			audience = pool
		}
		said, err := claims(form("subject_token"), s.accounts, audience)
		if err != nil {
			answer(http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "The token " + form("subject_token") + " is refused: " + err.Error()})
			return
		}
		who = fmt.Sprint("federated ", said["sub"])
	case form("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer": // how the original gets a token when it speaks REST
		said, err := claims(form("assertion"), s.google, "https://oauth2.googleapis.com/token")
		if err != nil || said["iss"] != serviceAccount {
			answer(http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": fmt.Sprint("Invalid JWT Signature: ", err)})
			return
		}
		who = serviceAccount
	case form("client_id")+" "+form("client_secret")+" "+form("refresh_token") == person:
		who = "person"
	default:
		answer(http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "Token has been expired or revoked: " + form("refresh_token")})
		return
	}
	answer(http.StatusOK, map[string]any{"access_token": s.tokens.give("ya29.", who), "token_type": "Bearer", "expires_in": 3600, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
}

func (s *alphabet) metadata(w http.ResponseWriter, r *http.Request, answer func(int, any)) {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		answer(http.StatusForbidden, nil)
		return
	}
	w.Header().Set("Metadata-Flavor", "Google")
	texts := map[string]string{"project/project-id": "testbed", "instance/attributes/cluster-location": "here", "instance/attributes/cluster-name": "one"}
	path := strings.TrimPrefix(r.URL.Path, "/computeMetadata/v1/")
	if text, known := texts[path]; known {
		w.Header().Set("content-type", "application/text")
		fmt.Fprint(w, text)
	} else if path == "instance/service-accounts/default/token" {
		answer(http.StatusOK, map[string]any{"access_token": s.tokens.give("ya29.", "machine"), "expires_in": int(time.Hour.Seconds()), "token_type": "Bearer"})
	} else {
		answer(http.StatusNotFound, nil)
	}
}
