// Certificates of the Key Vault stand-in, each with the key and the secret that belong to it.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"software.sslmate.com/src/go-pkcs12"
)

const pkcs12Type, pemType = "application/x-pkcs12", "application/x-pem-file"

func certificateAttributes(v *version) *azcertificates.CertificateAttributes {
	days, level := int32(retention/(24*time.Hour)), recoveryLevel
	return &azcertificates.CertificateAttributes{Enabled: &v.Enabled, Created: &v.Created, Updated: &v.Updated, NotBefore: v.NotBefore, Expires: v.Expires, RecoverableDays: &days, RecoveryLevel: &level}
}

func thumbprint(v *version) []byte {
	sum := sha1.Sum(v.CER)
	return sum[:]
}

func (c *call) certificate(name string, v *version) azcertificates.Certificate {
	id, kid, sid := azcertificates.ID(c.id("certificates", name, v.ID)), azcertificates.ID(c.id("keys", name, v.ID)), azcertificates.ID(c.id("secrets", name, v.ID))
	return azcertificates.Certificate{ID: &id, KID: &kid, SID: &sid, CER: v.CER, X509Thumbprint: thumbprint(v), Attributes: certificateAttributes(v), Tags: v.Tags, Policy: v.Policy}
}

// issue stores a certificate with its private key as certificate, key and secret of the same name and version.
func (c *call) issue(key crypto.Signer, der []byte, chain []*x509.Certificate, contentType string, policy *azcertificates.CertificatePolicy, tags map[string]*string) (*version, *failure) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, bad(err.Error())
	}
	v := newVersion(nil, &leaf.NotBefore, &leaf.NotAfter, tags)
	v.CER, v.Policy, v.Managed = der, policy, true
	keyVersion, secretVersion := *v, *v
	keyVersion.Key, keyVersion.KeyOps = key, allOperations(key)
	secretVersion.ContentType = contentType
	if contentType == pemType {
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, bad(err.Error())
		}
		var text strings.Builder
		_ = pem.Encode(&text, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
		for _, each := range append([]*x509.Certificate{leaf}, chain...) {
			_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: each.Raw})
		}
		secretVersion.Value = text.String()
	} else {
		bundle, err := pkcs12.Passwordless.Encode(key, leaf, chain, "")
		if err != nil {
			return nil, bad(err.Error())
		}
		secretVersion.Value = base64.StdEncoding.EncodeToString(bundle)
	}
	for kind, each := range map[string]*version{"certificates": v, "keys": &keyVersion, "secrets": &secretVersion} {
		if fail := c.add(kind, each); fail != nil {
			return nil, fail
		}
	}
	return v, nil
}

func (c *call) createCertificate() (any, *failure) {
	var p azcertificates.CreateCertificateParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	policy := p.CertificatePolicy
	if policy == nil || policy.X509CertificateProperties == nil || policy.X509CertificateProperties.Subject == nil {
		return nil, bad("the policy must name a subject")
	}
	var size *int32
	kind := azkeys.KeyTypeRSA
	if k := policy.KeyProperties; k != nil {
		size = k.KeySize
		if k.KeyType != nil {
			kind = azkeys.KeyType(*k.KeyType)
		}
	}
	key, err := generate(kind, size, nil)
	if err != nil {
		return nil, bad(err.Error())
	}
	wanted := policy.X509CertificateProperties
	months := 12
	if wanted.ValidityInMonths != nil {
		months = int(*wanted.ValidityInMonths)
	}
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now().UTC().Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: strings.TrimPrefix(*wanted.Subject, "CN=")}, NotBefore: now.Add(-10 * time.Minute), NotAfter: now.AddDate(0, months, 0), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}
	if names := wanted.SubjectAlternativeNames; names != nil {
		for _, n := range names.DNSNames {
			template.DNSNames = append(template.DNSNames, *n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, bad(err.Error())
	}
	if _, fail := c.issue(key, der, nil, contentType(policy), policy, p.Tags); fail != nil {
		return nil, fail
	}
	return c.operation(), nil
}

func contentType(policy *azcertificates.CertificatePolicy) string {
	if policy != nil && policy.SecretProperties != nil && policy.SecretProperties.ContentType != nil {
		return *policy.SecretProperties.ContentType
	}
	return pkcs12Type
}

// operation is the state of an issuance, which is complete at once here.
func (c *call) operation() azcertificates.CertificateOperation {
	status, target := "completed", c.id("certificates", c.name(), "")
	id := azcertificates.ID(target + "/pending")
	issuer := "Self"
	return azcertificates.CertificateOperation{ID: &id, Status: &status, Target: &target, IssuerParameters: &azcertificates.IssuerParameters{Name: &issuer}}
}

func (c *call) pendingCertificate() (any, *failure) {
	if _, _, fail := c.live("certificates", ""); fail != nil {
		return nil, fail
	}
	return c.operation(), nil
}

func (c *call) importCertificate() (any, *failure) {
	var p azcertificates.ImportCertificateParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Base64EncodedCertificate == nil {
		return nil, bad("value is missing")
	}
	password := ""
	if p.Password != nil {
		password = *p.Password
	}
	raw, err := base64.StdEncoding.DecodeString(*p.Base64EncodedCertificate)
	if err != nil {
		return nil, bad(err.Error())
	}
	key, leaf, chain, err := pkcs12.DecodeChain(raw, password)
	if err != nil {
		return nil, bad(err.Error())
	}
	v, fail := c.issue(key.(crypto.Signer), leaf.Raw, chain, contentType(p.CertificatePolicy), p.CertificatePolicy, p.Tags)
	if fail != nil {
		return nil, fail
	}
	return c.certificate(c.name(), v), nil
}
