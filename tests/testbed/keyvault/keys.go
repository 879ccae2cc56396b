// Keys of the Key Vault stand-in.
package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"math/big"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
)

func keyAttributes(v *version) *azkeys.KeyAttributes {
	level := recoveryLevel
	return &azkeys.KeyAttributes{Enabled: &v.Enabled, Created: &v.Created, Updated: &v.Updated, NotBefore: v.NotBefore, Expires: v.Expires, RecoveryLevel: &level}
}

func (c *call) keyBundle(name string, v *version) azkeys.KeyBundle {
	id := azkeys.ID(c.id("keys", name, v.ID))
	jwk := &azkeys.JSONWebKey{KID: &id, KeyOps: v.KeyOps}
	switch public := v.Key.Public().(type) {
	case *rsa.PublicKey:
		kty := azkeys.KeyTypeRSA
		jwk.Kty, jwk.N, jwk.E = &kty, public.N.Bytes(), big.NewInt(int64(public.E)).Bytes()
	case *ecdsa.PublicKey:
		kty, curve := azkeys.KeyTypeEC, azkeys.CurveName(public.Params().Name)
		size := (public.Params().BitSize + 7) / 8
		jwk.Kty, jwk.Crv, jwk.X, jwk.Y = &kty, &curve, public.X.FillBytes(make([]byte, size)), public.Y.FillBytes(make([]byte, size))
	}
	bundle := azkeys.KeyBundle{Key: jwk, Attributes: keyAttributes(v), Tags: v.Tags}
	if v.Managed {
		bundle.Managed = &v.Managed
	}
	return bundle
}

func generate(kind azkeys.KeyType, size *int32, curve *azkeys.CurveName) (crypto.Signer, error) {
	if strings.HasPrefix(string(kind), "EC") {
		curves := map[azkeys.CurveName]elliptic.Curve{azkeys.CurveNameP256: elliptic.P256(), azkeys.CurveNameP384: elliptic.P384(), azkeys.CurveNameP521: elliptic.P521()}
		if curve == nil || curves[*curve] == nil {
			return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		}
		return ecdsa.GenerateKey(curves[*curve], rand.Reader)
	}
	if size == nil {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return rsa.GenerateKey(rand.Reader, int(*size))
}

func (c *call) createKey() (any, *failure) {
	var p azkeys.CreateKeyParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Kty == nil {
		return nil, bad("The request body is missing the property kty.")
	}
	key, err := generate(*p.Kty, p.KeySize, p.Curve)
	if err != nil {
		return nil, bad(err.Error())
	}
	a := p.KeyAttributes
	if a == nil {
		a = &azkeys.KeyAttributes{}
	}
	v := newVersion(a.Enabled, a.NotBefore, a.Expires, p.Tags)
	v.Key, v.KeyOps = key, p.KeyOps
	if v.KeyOps == nil {
		v.KeyOps = allOperations(key)
	}
	return c.keyBundle(c.name(), v), c.add("keys", v)
}

func allOperations(key crypto.Signer) []*azkeys.KeyOperation {
	operations := []azkeys.KeyOperation{azkeys.KeyOperationSign, azkeys.KeyOperationVerify}
	if _, isRSA := key.(*rsa.PrivateKey); isRSA {
		operations = []azkeys.KeyOperation{azkeys.KeyOperationEncrypt, azkeys.KeyOperationDecrypt, azkeys.KeyOperationSign, azkeys.KeyOperationVerify, azkeys.KeyOperationWrapKey, azkeys.KeyOperationUnwrapKey}
	}
	all := []*azkeys.KeyOperation{}
	for _, o := range operations {
		all = append(all, &o)
	}
	return all
}

func (c *call) rotateKey() (any, *failure) {
	_, old, fail := c.live("keys", "")
	if fail != nil {
		return nil, fail
	}
	var kind azkeys.KeyType = azkeys.KeyTypeEC
	var size *int32
	if k, isRSA := old.Key.(*rsa.PrivateKey); isRSA {
		bits := int32(k.N.BitLen())
		kind, size = azkeys.KeyTypeRSA, &bits
	}
	key, err := generate(kind, size, nil)
	if err != nil {
		return nil, bad(err.Error())
	}
	v := newVersion(nil, nil, nil, old.Tags)
	v.Key, v.KeyOps = key, old.KeyOps
	return c.keyBundle(c.name(), v), c.add("keys", v)
}

func (c *call) importKey() (any, *failure) {
	var p azkeys.ImportKeyParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Key == nil || p.Key.Kty == nil || !strings.HasPrefix(string(*p.Key.Kty), "RSA") {
		return nil, bad("only RSA keys can be imported here")
	}
	integer := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: integer(p.Key.N), E: int(integer(p.Key.E).Int64())}, D: integer(p.Key.D), Primes: []*big.Int{integer(p.Key.P), integer(p.Key.Q)}}
	if err := key.Validate(); err != nil {
		return nil, bad(err.Error())
	}
	v := newVersion(nil, nil, nil, p.Tags)
	v.Key, v.KeyOps = key, allOperations(key)
	return c.keyBundle(c.name(), v), c.add("keys", v)
}

// useKey encrypts, decrypts, wraps, unwraps, signs or verifies with a key that is enabled and allows it.
func (c *call) useKey() (any, *failure) {
	operation := c.PathValue("operation")
	_, v, fail := c.live("keys", c.PathValue("version"))
	if fail != nil {
		return nil, fail
	}
	allowed := false
	for _, o := range v.KeyOps {
		allowed = allowed || strings.EqualFold(string(*o), operation)
	}
	if !v.Enabled || !allowed {
		return nil, &failure{403, "Forbidden", "Operation " + operation + " is not permitted on this key.", "KeyOperationForbidden"}
	}
	id := azkeys.ID(c.id("keys", c.name(), v.ID))
	switch operation {
	case "sign":
		return signDigest(c, v, &id)
	case "verify":
		return verifyDigest(c, v)
	}
	var p azkeys.KeyOperationParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	key, isRSA := v.Key.(*rsa.PrivateKey)
	if !isRSA || p.Algorithm == nil {
		return nil, bad("the key or its algorithm does not suit the operation")
	}
	apply := decrypt
	if operation == "encrypt" || operation == "wrapkey" {
		apply = encrypt
	}
	result, err := apply(key, *p.Algorithm, p.Value)
	if err != nil {
		return nil, bad(err.Error())
	}
	return azkeys.KeyOperationResult{KID: &id, Result: result}, nil
}

func encrypt(key *rsa.PrivateKey, algorithm azkeys.EncryptionAlgorithm, value []byte) ([]byte, error) {
	switch algorithm {
	case azkeys.EncryptionAlgorithmRSAOAEP256:
		return rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, value, nil)
	case azkeys.EncryptionAlgorithmRSAOAEP:
		return rsa.EncryptOAEP(sha1.New(), rand.Reader, &key.PublicKey, value, nil)
	}
	return rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, value)
}

func decrypt(key *rsa.PrivateKey, algorithm azkeys.EncryptionAlgorithm, value []byte) ([]byte, error) {
	switch algorithm {
	case azkeys.EncryptionAlgorithmRSAOAEP256:
		return rsa.DecryptOAEP(sha256.New(), nil, key, value, nil)
	case azkeys.EncryptionAlgorithmRSAOAEP:
		return rsa.DecryptOAEP(sha1.New(), nil, key, value, nil)
	}
	return rsa.DecryptPKCS1v15(nil, key, value)
}

func hashOf(algorithm azkeys.SignatureAlgorithm) crypto.Hash {
	switch {
	case strings.HasSuffix(string(algorithm), "384"):
		return crypto.SHA384
	case strings.HasSuffix(string(algorithm), "512"):
		return crypto.SHA512
	}
	return crypto.SHA256
}

func signDigest(c *call, v *version, id *azkeys.ID) (any, *failure) {
	var p azkeys.SignParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Algorithm == nil {
		return nil, bad("alg is missing")
	}
	var signature []byte
	var err error
	switch key := v.Key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(string(*p.Algorithm), "PS") {
			signature, err = rsa.SignPSS(rand.Reader, key, hashOf(*p.Algorithm), p.Value, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(nil, key, hashOf(*p.Algorithm), p.Value)
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, key, p.Value); err == nil {
			size := (key.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		return nil, bad(err.Error())
	}
	return azkeys.KeyOperationResult{KID: id, Result: signature}, nil
}

func verifyDigest(c *call, v *version) (any, *failure) {
	var p azkeys.VerifyParameters
	if fail := c.read(&p); fail != nil {
		return nil, fail
	}
	if p.Algorithm == nil {
		return nil, bad("alg is missing")
	}
	valid := false
	switch key := v.Key.Public().(type) {
	case *rsa.PublicKey:
		if strings.HasPrefix(string(*p.Algorithm), "PS") {
			valid = rsa.VerifyPSS(key, hashOf(*p.Algorithm), p.Digest, p.Signature, nil) == nil
		} else {
			valid = rsa.VerifyPKCS1v15(key, hashOf(*p.Algorithm), p.Digest, p.Signature) == nil
		}
	case *ecdsa.PublicKey:
		half := len(p.Signature) / 2
		valid = ecdsa.Verify(key, p.Digest, new(big.Int).SetBytes(p.Signature[:half]), new(big.Int).SetBytes(p.Signature[half:]))
	}
	return azkeys.KeyVerifyResult{Value: &valid}, nil
}
