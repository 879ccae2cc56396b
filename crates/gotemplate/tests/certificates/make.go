// Makes the certificates beside it by Go's own library, from the templates that sprig 3.3 fills, with a clock and dice that
// stand still: `go run make.go` in this folder. The keys are throw-away keys, made for these tests alone.
package main

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"strings"
	"time"
)

func key(name string) crypto.Signer {
	text, _ := os.ReadFile(name + ".key")
	block, _ := pem.Decode(text)
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return key.(crypto.Signer)
}

func template(name string, days int, ips []string, names []string) *x509.Certificate {
	serial := make([]byte, 16)
	for i := range serial {
		serial[i] = byte((201 + i*37) % 251)
	}
	now := time.Unix(1_795_253_640, 0)
	template := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              names,
		NotBefore:             now,
		NotAfter:              now.Add(time.Hour * 24 * time.Duration(days)),
		KeyUsage:              x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	return template
}

func write(name string, template, parent *x509.Certificate, of, by crypto.Signer) *x509.Certificate {
	kind := "CERTIFICATE"
	bytes, err := x509.CreateCertificate(nil, template, parent, of.Public(), by)
	if err != nil {
		panic(err)
	}
	if strings.HasPrefix(name, "ec") { // Signed by dice: what is signed is what can be compared.
		certificate, _ := x509.ParseCertificate(bytes)
		kind, bytes = "TO BE SIGNED", certificate.RawTBSCertificate
	}
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes})
	os.WriteFile(name+".pem", text, 0o644)
	certificate, _ := x509.ParseCertificate(bytes)
	return certificate
}

func main() {
	ca := template("shop's CA", 365, nil, nil)
	ca.KeyUsage |= x509.KeyUsageCertSign
	ca.IsCA = true
	authority := write("ca", ca, ca, key("rsa"), key("rsa"))
	write("leaf", template("größer", 36500, []string{"10.0.0.1", "::ffff:10.0.0.2", "fe80::1"}, []string{"web", "*.shop.svc"}), authority, key("ec"), key("rsa"))
	nameless := template("", 200000, nil, []string{"web"})
	write("nameless", nameless, nameless, key("ed25519"), key("ed25519"))
	curve := template("web@shop", 1, nil, nil)
	write("ec", curve, curve, key("ec"), key("ec"))
	write("ec224", curve, curve, key("p224"), key("p224"))
	write("rsa1024", ca, ca, key("rsa1024"), key("rsa1024"))
}
