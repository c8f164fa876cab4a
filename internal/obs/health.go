package obs

import (
	"encoding/json"
	"net/http"
	"sync"
)

// A Check tells whether a part of the process works: nil, or why not. It must answer from memory, at once, on any goroutine.
type Check func() error

// A checklist is the checks behind one health page.
type checklist struct {
	live bool // of /livez, not of /readyz

	mu     sync.Mutex // guards the two below
	names  []string
	checks []Check
}

func (l *checklist) add(name string, check Check) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, name)
	l.checks = append(l.checks, check)
}

// report is a health page.
type report struct {
	Ready  *bool    `json:"ready,omitempty"` // on /readyz
	Live   *bool    `json:"live,omitempty"`  // on /livez
	Checks []result `json:"checks"`
}

// result is one line of a health page.
type result struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason"`
}

// ServeHTTP answers {"ready":true,"checks":[{"name":"kafka","ok":true,"reason":""}]}, with status 503 if a check fails.
func (l *checklist) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	names, checks := l.names, l.checks // only ever appended to
	l.mu.Unlock()
	all, page := true, report{Checks: make([]result, 0, len(checks))}
	if l.live {
		page.Live = &all
	} else {
		page.Ready = &all
	}
	for i, check := range checks {
		r := result{Name: names[i], OK: true}
		if err := check(); err != nil {
			all, r.OK, r.Reason = false, false, err.Error()
		}
		page.Checks = append(page.Checks, r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !all {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// An error here is the client's: it has gone.
	_ = json.NewEncoder(w).Encode(page)
}
