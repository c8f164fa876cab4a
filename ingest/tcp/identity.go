package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// recheck is how often the certificate files are looked at, at most.
const recheck = time.Second

// An identity is the host's certificate and the authorities of its clients', kept as their files are. Its methods are for any goroutine.
type identity struct {
	cfg    TLSConfig
	log    zerolog.Logger
	failed atomic.Int64 // reloads
	expiry atomic.Int64 // of the host's certificate, seconds since 1970

	mu      sync.Mutex // guards the three below; a leaf
	checked time.Time
	stamp   string // of the files that current was read from
	current *tls.Config
}

// loadIdentity reads the files for the first time.
func loadIdentity(cfg TLSConfig, log zerolog.Logger) (*identity, error) {
	id := &identity{cfg: cfg, log: log}
	if err := id.reload(); err != nil {
		return nil, err
	}
	return id, nil
}

// config is the configuration of the next handshake. Files that changed and cannot be used are reported, and what was before stays.
func (id *identity) config(now time.Time) *tls.Config {
	id.mu.Lock()
	defer id.mu.Unlock()
	if now.Sub(id.checked) < recheck {
		return id.current
	}
	id.checked = now
	if err := id.reload(); err != nil {
		id.failed.Add(1)
		id.log.Error().Err(err).Msg("certificate files changed and cannot be used: the ones before stay")
	}
	return id.current
}

// reload reads the files if they changed. It is called with mu held, or before anybody else has id.
func (id *identity) reload() error {
	stamp, err := id.stat()
	if err != nil || stamp == id.stamp {
		return err
	}
	pair, err := tls.LoadX509KeyPair(id.cfg.CertFile, id.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("tls.cert_file %s, tls.key_file %s: %w", id.cfg.CertFile, id.cfg.KeyFile, err)
	}
	next := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// A resumed session is not checked again, and saves a quarter of the handshake's CPU at most: not worth the second way in.
		SessionTicketsDisabled: true,
	}
	if id.cfg.ClientCAFile != "" {
		pem, err := os.ReadFile(id.cfg.ClientCAFile)
		if err != nil {
			return fmt.Errorf("tls.client_ca_file: %w", err)
		}
		next.ClientCAs = x509.NewCertPool()
		if !next.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls.client_ca_file %s: no certificate in PEM form", id.cfg.ClientCAFile)
		}
		next.ClientAuth = tls.VerifyClientCertIfGiven
		if id.cfg.RequireClientCert {
			next.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	id.current, id.stamp = next, stamp
	id.expiry.Store(pair.Leaf.NotAfter.Unix())
	return nil
}

// stat tells the files' state at the moment.
func (id *identity) stat() (string, error) {
	var b strings.Builder
	for _, name := range []string{id.cfg.CertFile, id.cfg.KeyFile, id.cfg.ClientCAFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%d %d;", info.ModTime().UnixNano(), info.Size())
	}
	return b.String(), nil
}

// names are the DNS names and the common name of the client certificate that was verified; nil when none was.
func names(state tls.ConnectionState) []string {
	if len(state.VerifiedChains) == 0 {
		return nil
	}
	leaf := state.PeerCertificates[0]
	all := append([]string(nil), leaf.DNSNames...)
	if leaf.Subject.CommonName != "" {
		all = append(all, leaf.Subject.CommonName)
	}
	return all
}
