package tcp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"outfall/ingest"
	"outfall/telemetry"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) make(template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// leaf issues a certificate for both ends.
func (a *authority) leaf(common string, names ...string) tls.Certificate {
	cert, key := a.make(&x509.Certificate{Subject: pkix.Name{CommonName: common}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}, a)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func writePEM(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePair(t testing.TB, dir string, pair tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "host.pem"), "CERTIFICATE", pair.Certificate[0])
	writePEM(t, filepath.Join(dir, "host.key"), "PRIVATE KEY", key)
}

// withTLS is a configuration with an encrypted listener, whose host is called "gateway" by a.
func withTLS(t testing.TB, a *authority, change func(*ingest.Config, *Config)) (dir string, both func(*ingest.Config, *Config)) {
	dir = t.TempDir()
	writePair(t, dir, a.leaf("gateway", "gateway"))
	writePEM(t, filepath.Join(dir, "ca.pem"), "CERTIFICATE", a.cert.Raw)
	return dir, func(i *ingest.Config, c *Config) {
		c.TLS.Listen, c.TLS.CertFile, c.TLS.KeyFile = "127.0.0.1:0", filepath.Join(dir, "host.pem"), filepath.Join(dir, "host.key")
		c.TLS.ClientCAFile = filepath.Join(dir, "ca.pem")
		if change != nil {
			change(i, c)
		}
	}
}

// tryTLS dials the encrypted listener, with a client certificate or none.
func (r *rig) tryTLS(a *authority, certs ...tls.Certificate) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{RootCAs: a.pool, ServerName: "gateway", Certificates: certs}}
	c, err := d.DialContext(ctx, "tcp", r.srv.TLSAddr().String())
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { c.(*tls.Conn).NetConn().Close() })
	return c.(*tls.Conn), nil
}

func (r *rig) dialTLS(a *authority, certs ...tls.Certificate) *logger {
	r.t.Helper()
	c, err := r.tryTLS(a, certs...)
	if err != nil {
		r.t.Fatal(err)
	}
	return &logger{t: r.t, c: c}
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	const mn3 = "CERTIFIED0001"
	_, config := withTLS(t, a, func(_ *ingest.Config, c *Config) { c.TLS.MaxConnections = 20 })
	r := startLight(t, config, telemetry.Device{MN: mn3, CertName: "station-3"})

	t.Run("acknowledged only when durable", func(t *testing.T) {
		r.shelf.set(true)
		l := r.dialTLS(a)
		l.send(upload(mn1, "123456", 1) + upload(mn1, "123456", 2)[:50])
		waitFor(t, "the frame to be taken", func() bool { return r.in.Stats().Received == 1 })
		r.shelf.set(false)
		l.wantAcks(qn(1))
		l.send(upload(mn1, "123456", 2)[50:])
		l.wantAcks(qn(2))
	})
	t.Run("split at every byte", func(t *testing.T) {
		l := r.dialTLS(a)
		for _, b := range []byte(upload(mn1, "123456", 3) + upload(mn1, "123456", 4)) {
			l.send(string(b))
		}
		l.wantAcks(qn(3), qn(4))
	})
	t.Run("a certificate per device", func(t *testing.T) {
		for i, pair := range []tls.Certificate{a.leaf("station-3"), a.leaf("", "other", "station-3")} {
			l := r.dialTLS(a, pair)
			l.send(upload(mn3, "", 10+i))
			l.wantAcks(qn(10 + i))
		}
		l, plain := r.dialTLS(a, a.leaf("station-4")), r.dial()
		for _, l := range []*logger{l, plain} {
			l.send(upload(mn3, "", 20) + upload(mn1, "123456", 21))
			l.wantAcks(qn(21))
		}
	})
	t.Run("a certificate of somebody else's authority", func(t *testing.T) {
		before := r.srv.refused[refusedHandshake].Load()
		if c, err := r.tryTLS(a, newAuthority(t).leaf("station-3")); err == nil { // TLS 1.3 tells the client with its first read
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("accepted")
			}
		}
		waitFor(t, "the refusal", func() bool { return r.srv.refused[refusedHandshake].Load() == before+1 })
	})
	t.Run("too many", func(t *testing.T) {
		before := r.srv.encrypted.Load()
		var held []net.Conn
		for range 20 {
			c, err := net.Dial("tcp", r.srv.TLSAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			held = append(held, c)
		}
		waitFor(t, "the refusals", func() bool { return r.srv.refused[refusedTLS].Load() == before })
		for _, c := range held {
			c.Close()
		}
		waitFor(t, "the places", func() bool { return r.srv.encrypted.Load() <= before })
	})
	t.Run("drain", func(t *testing.T) {
		l := r.dialTLS(a)
		l.send(upload(mn1, "123456", 30))
		l.wantAcks(qn(30))
		r.shelf.set(true)
		received := r.in.Stats().Received
		l.send(upload(mn1, "123456", 31))
		waitFor(t, "the frame to be taken", func() bool { return r.in.Stats().Received == received+1 })
		stopped := make(chan struct{})
		go func() { defer close(stopped); r.stop() }()
		waitFor(t, "the listener to close", func() bool { return r.srv.tlsLn.SetDeadline(time.Time{}) != nil })
		r.shelf.set(false)
		l.wantAcks(qn(31))
		l.wantClosed()
		<-stopped
	})
}

func TestTLSTimeoutsAndBounds(t *testing.T) {
	a := newAuthority(t)
	for _, tt := range []struct {
		name   string
		cause  ingest.Cause
		change func(*ingest.Config, *Config)
		play   func(*rig)
	}{
		{"never sends", ingest.CauseLogin, func(_ *ingest.Config, c *Config) { c.LoginTimeout = 60 * time.Millisecond }, func(r *rig) {
			r.dialTLS(a).wantClosed()
		}},
		{"falls silent", ingest.CauseIdle, func(_ *ingest.Config, c *Config) { c.IdleTimeout = time.Second }, func(r *rig) {
			l := r.dialTLS(a)
			l.send(upload(mn1, "123456", 1))
			l.wantAcks(qn(1))
			l.wantClosed()
		}},
		{"half a frame, then a good one", ingest.CauseShutdown, func(_ *ingest.Config, c *Config) { c.PartialTimeout = 50 * time.Millisecond }, func(r *rig) {
			l := r.dialTLS(a)
			l.send("##0999QN=" + upload(mn1, "123456", 1)[:30])
			waitFor(r.t, "the half frame to be refused", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonHalf] >= 1 })
			l.send(upload(mn1, "123456", 2))
			l.wantAcks(qn(2))
		}},
		{"garbage flood", ingest.CauseGarbage, nil, func(r *rig) {
			l := r.dialTLS(a)
			go l.c.Write(bytes.Repeat([]byte("garbage "), 1<<18))
			l.wantClosed()
		}},
		{"no handshake", 0, func(_ *ingest.Config, c *Config) { c.TLS.HandshakeTimeout = 50 * time.Millisecond }, func(r *rig) {
			c, err := net.Dial("tcp", r.srv.TLSAddr().String())
			if err != nil {
				r.t.Fatal(err)
			}
			(&logger{t: r.t, c: c}).wantClosed()
			waitFor(r.t, "the refusal", func() bool { return r.srv.refused[refusedHandshake].Load() == 1 })
		}},
		{"plain frames", 0, nil, func(r *rig) {
			c, err := net.Dial("tcp", r.srv.TLSAddr().String())
			if err != nil {
				r.t.Fatal(err)
			}
			l := &logger{t: r.t, c: c}
			l.send(upload(mn1, "123456", 1))
			l.wantClosed()
		}},
		{"slow reader", ingest.CauseSlowReader, func(_ *ingest.Config, c *Config) { c.TLS.WriteTimeout = 100 * time.Millisecond }, func(r *rig) {
			l := r.dialTLS(a)
			frames := []byte(strings.Repeat(upload(mn1, "123456", 1), 500))
			for {
				if _, err := l.c.Write(frames); err != nil {
					return
				}
			}
		}},
		{"goes away in a frame", ingest.CausePeer, nil, func(r *rig) {
			l := r.dialTLS(a)
			l.send(upload(mn1, "123456", 1))
			l.wantAcks(qn(1))
			l.send(upload(mn1, "123456", 2)[:40])
			l.c.Close()
			waitFor(r.t, "the reject", func() bool { return r.in.Stats().RejectedBy[ingest.ReasonHalf] == 1 })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, config := withTLS(t, a, tt.change)
			r := startLight(t, config)
			tt.play(r)
			r.stop()
			if tt.cause != 0 && r.closed(tt.cause) == 0 {
				t.Errorf("no connection was closed by cause %s", tt.cause)
			}
		})
	}
}

// While the journal has no room TLS devices are not read: their writes block, memory stays bounded, and all goes on afterwards.
func TestTLSHoldsDevicesBack(t *testing.T) {
	a := newAuthority(t)
	_, config := withTLS(t, a, nil)
	r := startLight(t, config)
	r.shelf.bound(64 << 10)
	r.shelf.set(true)
	const conns, frames = 6, 4000 // 4 MiB in all: more than the kernel keeps for them
	done := make(chan error, conns)
	var loggers []*logger
	for i := range conns {
		l := r.dialTLS(a)
		loggers = append(loggers, l)
		go func() {
			_, err := l.c.Write([]byte(strings.Repeat(upload(mn1, "123456", i), frames)))
			done <- err
		}()
	}
	waitFor(t, "streams that wait", func() bool { return r.srv.waiters.Load() == conns })
	if n := r.srv.backlog.Load(); n > int64(conns*(chunk+ingest.DefaultConfig().MaxFrame+12)) {
		t.Errorf("%d bytes are kept, want less than a chunk and a frame for each connection", n)
	}
	r.shelf.set(false)
	for i, l := range loggers {
		for range frames {
			l.wantAcks(qn(i))
		}
	}
	for range conns {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := r.srv.waiters.Load(); n != 0 {
		t.Errorf("%d streams still wait", n)
	}
}

func TestCertificateReload(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	dir, config := withTLS(t, a, nil)
	r := startLight(t, config)
	if _, err := r.tryTLS(a); err != nil {
		t.Fatal(err)
	}
	pause := func() { // as if it were a while later
		r.srv.identity.mu.Lock()
		defer r.srv.identity.mu.Unlock()
		r.srv.identity.checked = time.Time{}
	}
	if err := os.WriteFile(filepath.Join(dir, "host.pem"), []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	pause()
	if _, err := r.tryTLS(a); err != nil || r.srv.identity.failed.Load() != 1 {
		t.Errorf("after a broken file %v and %d failed reloads, want the old certificate and 1", err, r.srv.identity.failed.Load())
	}
	writePair(t, dir, b.leaf("gateway", "gateway"))
	pause()
	if _, err := r.tryTLS(b); err != nil {
		t.Errorf("the new certificate is not shown: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := r.tryTLS(a); !errors.As(err, &unknown) {
		t.Errorf("%v, want the old authority not to do any more", err)
	}
}

func TestListenRefusesBadCertificates(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.Listen, cfg.TLS.Listen, cfg.TLS.CertFile, cfg.TLS.KeyFile = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "host.pem"), filepath.Join(dir, "host.key")
	if _, err := loadIdentity(cfg.TLS, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "host.pem") {
		t.Errorf("%v, want an error that names the file", err)
	}
	writePair(t, dir, newAuthority(t).leaf("gateway"))
	cfg.TLS.ClientCAFile = filepath.Join(dir, "host.key")
	if _, err := loadIdentity(cfg.TLS, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "client_ca_file") {
		t.Errorf("%v, want an error that names the key", err)
	}
}

func TestTLSBehindABalancer(t *testing.T) {
	a := newAuthority(t)
	_, config := withTLS(t, a, func(_ *ingest.Config, c *Config) { c.ProxyFrom = []string{"127.0.0.0/8"} })
	r := startLight(t, config)
	raw, err := net.Dial("tcp", r.srv.TLSAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Write([]byte(proxy2(1, 0x11, body4+tlvs))); err != nil {
		t.Fatal(err)
	}
	l := &logger{t: t, c: tls.Client(raw, &tls.Config{RootCAs: a.pool, ServerName: "gateway"})}
	l.send(upload(mn1, "123456", 1))
	l.wantAcks(qn(1))
	if !r.shelf.saw("192.0.2.7:4660") {
		t.Errorf("peers %v, want the header's", r.shelf.peers)
	}
}
