// The judge of the Key Vault stand-in: Microsoft's own clients.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

type anyToken struct{}

func (anyToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "x", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestMicrosoftClients(t *testing.T) {
	vault := newServer()
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" { // the clients' first request has no token and no body, and waits for this
			w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.test/tenant", resource="https://vault.azure.net"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		vault.ServeHTTP(w, r)
	}))
	defer web.Close()
	options := azcore.ClientOptions{Transport: web.Client(), Retry: policy.RetryOptions{MaxRetries: -1}}
	ctx := context.Background()

	secrets := must[*azsecrets.Client](t)(azsecrets.NewClient(web.URL, anyToken{}, &azsecrets.ClientOptions{ClientOptions: options, DisableChallengeResourceVerification: true}))
	for i := range 60 {
		must[azsecrets.SetSecretResponse](t)(secrets.SetSecret(ctx, fmt.Sprintf("s%02d", i), azsecrets.SetSecretParameters{Value: to.Ptr("v")}, nil))
	}
	seen := 0
	for pager := secrets.NewListSecretPropertiesPager(nil); pager.More(); {
		seen += len(must[azsecrets.ListSecretPropertiesResponse](t)(pager.NextPage(ctx)).Value)
	}
	if seen != 60 {
		t.Fatalf("listed %d of 60 secrets", seen)
	}
	must[azsecrets.DeleteSecretResponse](t)(secrets.DeleteSecret(ctx, "s00", nil))
	if _, err := secrets.SetSecret(ctx, "s00", azsecrets.SetSecretParameters{Value: to.Ptr("v")}, nil); err == nil {
		t.Fatal("a deleted but recoverable name was reused")
	}
	must[azsecrets.RecoverDeletedSecretResponse](t)(secrets.RecoverDeletedSecret(ctx, "s00", nil))
	if got := must[azsecrets.GetSecretResponse](t)(secrets.GetSecret(ctx, "s00", "", nil)); *got.Value != "v" {
		t.Fatal("the recovered secret lost its value")
	}

	keys := must[*azkeys.Client](t)(azkeys.NewClient(web.URL, anyToken{}, &azkeys.ClientOptions{ClientOptions: options, DisableChallengeResourceVerification: true}))
	must[azkeys.CreateKeyResponse](t)(keys.CreateKey(ctx, "k", azkeys.CreateKeyParameters{Kty: to.Ptr(azkeys.KeyTypeRSA)}, nil))
	oaep := azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: []byte("data key")}
	sealed := must[azkeys.WrapKeyResponse](t)(keys.WrapKey(ctx, "k", "", oaep, nil))
	oaep.Value = sealed.Result
	if opened := must[azkeys.UnwrapKeyResponse](t)(keys.UnwrapKey(ctx, "k", sealed.KID.Version(), oaep, nil)); string(opened.Result) != "data key" {
		t.Fatal("the unwrapped key differs")
	}

	certificates := must[*azcertificates.Client](t)(azcertificates.NewClient(web.URL, anyToken{}, &azcertificates.ClientOptions{ClientOptions: options, DisableChallengeResourceVerification: true}))
	certificatePolicy := &azcertificates.CertificatePolicy{X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: to.Ptr("CN=web")}}
	must[azcertificates.CreateCertificateResponse](t)(certificates.CreateCertificate(ctx, "c", azcertificates.CreateCertificateParameters{CertificatePolicy: certificatePolicy}, nil))
	if got := must[azcertificates.GetCertificateResponse](t)(certificates.GetCertificate(ctx, "c", "", nil)); got.SID.Name() != "c" {
		t.Fatal("the certificate names no secret")
	}
}
