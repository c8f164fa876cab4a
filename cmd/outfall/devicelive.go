package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"outfall/ingest"
)

// adminTime bounds one request to an admin server.
const adminTime = 30 * time.Second

const adminHelp = `The sessions come from the admin server of each process with the role ingest: that of the process which runs on the data directory, else
admin.listen of the configuration; --admin names others. A device that is connected to a gateway which is not asked counts as offline.`

func adminFlag(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVar(to, "admin", nil, "HOST:PORT of a gateway's admin server; several times for several gateways")
}

// liveSessions asks every gateway for its sessions, of one device unless mn is empty.
func liveSessions(ctx context.Context, access *dataAccess, admin []string, mn string) ([]ingest.LiveSession, error) {
	if len(admin) == 0 && access.idle != "" {
		return nil, unreachable(fmt.Errorf("no process runs on %s: no device is connected there; --admin asks other gateways", access.idle))
	}
	if len(admin) == 0 {
		admin = []string{connectable(access.cfg.Admin.Listen)}
		if access.live != nil {
			admin = []string{access.live.Admin}
		}
	}
	var all []ingest.LiveSession
	for _, addr := range admin {
		some, err := fetchSessions(ctx, addr, mn)
		if err != nil {
			return nil, unreachable(fmt.Errorf("ask %s for its sessions: %w; name the gateways' admin servers with --admin", addr, err))
		}
		all = append(all, some...)
	}
	return all, nil
}

func fetchSessions(ctx context.Context, addr, mn string) (all []ingest.LiveSession, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTime)
	defer cancel()
	u := url.URL{Scheme: "http", Host: addr, Path: "/sessions"}
	if mn != "" {
		u.RawQuery = url.Values{"mn": {mn}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: a gateway is asked directly
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		return nil, fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(text)))
	}
	for dec := json.NewDecoder(res.Body); ; {
		var s ingest.LiveSession
		switch err := dec.Decode(&s); {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("read the sessions: %w", err)
		}
		all = append(all, s)
	}
}
