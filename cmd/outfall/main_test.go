package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// atEnd is called after the last test, for what tests share.
var atEnd []func()

type tidyRun struct{ *testing.M }

func (r tidyRun) Run() int {
	code := r.M.Run()
	for _, fn := range atEnd {
		fn()
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(tidyRun{m}, map[string]func(){"outfall": main})
}

// TestScript runs what an operator sees: command, exit code, message.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			// Sockets have short names only; the scripts' own folder may be deep.
			dir, err := os.MkdirTemp("", "of")
			if err != nil {
				return err
			}
			env.Defer(func() { os.RemoveAll(dir) })
			env.Setenv("DATA", dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": scriptExits, "await": scriptAwait, "until": scriptUntil, "upload": scriptUpload},
	})
}

// scriptUpload is the script command "upload RUNFILE FILE": it sends the file to where devices connect and waits for the other side to
// close, having seen the end.
func scriptUpload(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: upload runfile file")
	}
	info, err := readRunInfo(filepath.Dir(ts.MkAbs(args[0])))
	ts.Check(err)
	conn, err := net.Dial("tcp", info.Ingest)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err = io.WriteString(conn, ts.ReadFile(args[1]))
	ts.Check(err)
	ts.Check(conn.(*net.TCPConn).CloseWrite())
	_, err = io.Copy(io.Discard, conn)
	ts.Check(err)
}

// scriptUntil is the script command "until PATTERN PROGRAM ARG...": it runs the program again until its standard output matches.
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until pattern program arg...")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("not within 30 s: %s", args[0])
		}
	}
}

// scriptAwait is the script command "await FILE": it waits until the file is there.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await file")
	}
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s did not appear", args[0])
		}
	}
}
