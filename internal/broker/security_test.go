package broker

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// TestSecurity: a cluster behind TLS and SASL is reached with the right authority and password, and not without.
func TestSecurity(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate alone, which is good for 127.0.0.1
	defer web.Close()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: web.TLS.Certificates}), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "u", "secret"), kfake.Superuser("SCRAM-SHA-256", "u", "secret"), kfake.Superuser("SCRAM-SHA-512", "u", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer fake.Close()
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
	password := write("password", []byte("secret\n"))

	good := DefaultConfig()
	good.Brokers, good.TLS, good.TLSCA = fake.ListenAddrs(), true, ca
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		c := good
		c.SASL = SASL{Mechanism: mechanism, User: "u", PasswordFile: password}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := Remote(c).Plan(t.Context()); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	wrong := good
	wrong.SASL = SASL{Mechanism: "SCRAM-SHA-256", User: "u", PasswordFile: write("wrong", []byte("guess"))}
	if _, err := Remote(wrong).Plan(t.Context()); err == nil {
		t.Error("a wrong password was let in")
	}
	unknown := good
	unknown.SASL, unknown.TLSCA = SASL{Mechanism: "PLAIN", User: "u", PasswordFile: password}, ""
	if _, err := Remote(unknown).Plan(t.Context()); err == nil {
		t.Error("an unknown authority was trusted")
	}
	none := good
	none.TLSCA = password
	if _, err := Remote(none).Client(); err == nil {
		t.Error("a file without a certificate was accepted")
	}
}
