//go:build integration

package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"outfall/ingest/hj212"
	"outfall/internal/broker"
	"outfall/telemetry"
)

// The loggers of the independent client: edition, MN, ST, PW.
var clientDevices = [][4]string{
	{"2005", "88888880000001", "32", "123456"},
	{"2017", "010000A8900016F000169DC0", "32", "654321"},
	{"2025", "020000A8900016F000169DC1", "31", "abCD12"},
}

var clientScript = filepath.Join("..", "..", "testdata", "client", "hj212_client.py")

// clientSummary is what testdata/client/hj212_client.py prints.
type clientSummary struct {
	OK      bool `json:"ok"`
	Devices []struct {
		MN       string         `json:"mn"`
		Edition  string         `json:"edition"`
		Acked    int            `json:"acked"`
		Recalled int            `json:"recalled"`
		Requests map[string]int `json:"requests"`
	} `json:"devices"`
	Mismatches []string `json:"mismatches"`
}

// TestEndToEndIndependentClient lets a client that was written from the standards' text alone, in another language, upload to a gateway,
// serve its requests, and judge every byte that it sends; and then looks for every acknowledged frame in the journal.
func TestEndToEndIndependentClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("this test needs python3: ", err)
	}
	tmp := t.TempDir()
	dir, ledger := filepath.Join(tmp, "d"), filepath.Join(tmp, "ledger")
	outfall(t, 0, "registry", "import", writeClientRegistry(t, tmp), "--data", dir)
	run := start(t, "run", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	info := run.waitRun(dir)
	_, port, err := net.SplitHostPort(info.Ingest)
	if err != nil {
		t.Fatal(err)
	}

	args := []string{clientScript, "--port", port, "--ledger", ledger, "--odd"}
	for _, d := range clientDevices {
		args = append(args, "--device", strings.Join(d[:], ","))
	}
	summary := runClient(t, python, args, nil)
	for _, d := range summary.Devices {
		if d.Acked < 15 {
			t.Errorf("%s of %s: %d frames acknowledged", d.MN, d.Edition, d.Acked)
		}
	}
	cluster := broker.Dial(broker.DefaultConfig(), info.socket())
	checkClientLedger(t, cluster, ledger)
	checkClientFindings(t, cluster)
	checkClientPackets(t, cluster)

	from, to := time.Now().Add(-7*time.Minute).UTC().Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)
	change := []string{"--operator", "test", "--yes-change-device"}
	done := [][]string{{"clock-get"}, append([]string{"clock-set"}, change...), {"1061"}, append([]string{"1062", "RtdInterval=120"}, change...),
		{"recall-minutes", "--from", from, "--to", to}, append([]string{"realtime-stop"}, change...)}
	refused := append([]string{"sample", "PolId=w01018"}, change...) // no command of the client's
	summary = runClient(t, python, append(args, "--requests", fmt.Sprint(len(done)+1), "--wait", "100"), func() {
		for _, d := range clientDevices {
			send := []string{"device", "send", d[1], "--data", dir, "--valid-for", "1m"}
			for _, c := range done {
				outfall(t, 0, append(send, c...)...)
			}
			outfall(t, exitRuntime, append(send, refused...)...)
		}
	})
	for _, d := range summary.Devices {
		if len(d.Requests) != len(done)+1 || d.Recalled < 5 {
			t.Errorf("%s of %s was asked for %v and sent %d records again, want each of the %d commands and 5 records", d.MN, d.Edition, d.Requests,
				d.Recalled, len(done)+1)
		}
	}
	checkClientLedger(t, cluster, ledger)
	checkRefusedCommands(t, cluster)
	run.stop()
}

// checkRefusedCommands wants a finding for the command that each logger refused, and for no other.
func checkRefusedCommands(t *testing.T, cluster *broker.Cluster) {
	t.Helper()
	eventually(t, time.Minute, "a finding for each refused command", func() bool {
		n := 0
		err := cluster.ReadAll(t.Context(), telemetry.TopicFindings, func(r *kgo.Record) error {
			var f telemetry.Finding
			if err := json.Unmarshal(r.Value, &f); err != nil {
				return err
			}
			if f.Kind == telemetry.FindingCommandFailed {
				n++
				if f.CN != "3012" || !strings.Contains(f.Detail, "refused, QnRtn=") {
					t.Errorf("finding %s, want that 3012 was refused", r.Value)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n == len(clientDevices)
	})
}

// A host that answers wrongly in any one way must not pass.
func TestIndependentClientNoticesWrongAnswers(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("this test needs python3: ", err)
	}
	replace := func(old, new string) func([]byte) []byte {
		return func(answer []byte) []byte {
			data := answer[6 : len(answer)-6]
			return hj212.AppendFrame(nil, bytes.Replace(data, []byte(old), []byte(new), 1))
		}
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"CRC":        func(a []byte) []byte { return append(append([]byte{}, a[:len(a)-6]...), "0000\r\n"...) },
		"length":     func(a []byte) []byte { return append([]byte("##0010"), a[6:]...) },
		"tail":       func(a []byte) []byte { return append(append([]byte{}, a[:len(a)-2]...), "\n\n"...) },
		"lower case": func(a []byte) []byte { return bytes.ToLower(a) },
		"QN":         replace("QN=2", "QN=1"),
		"MN":         replace("DC0", "DC1"),
		"ST":         replace("ST=91", "ST=32"),
		"CN":         replace("CN=9014", "CN=9013"),
		"Flag":       replace("Flag=4", "Flag=5"),
		"CP":         replace("CP=&&", "CP=&&QnRtn=1"),
	} {
		t.Run(name, func(t *testing.T) {
			port := spoilingHost(t, spoil)
			cmd := exec.CommandContext(t.Context(), python, clientScript, "--port", port, "--device", strings.Join(clientDevices[1][:], ","),
				"--timeout", "2", "--retries", "0")
			out, err := cmd.Output()
			var s clientSummary
			if json.Unmarshal(out, &s) != nil || cmd.ProcessState.ExitCode() != 1 || s.OK || len(s.Mismatches) != 1 {
				t.Errorf("exit %d, %v: %s", cmd.ProcessState.ExitCode(), err, out)
			}
		})
	}
}

// spoilingHost answers the first connection's frames with 9014 as they should be, but for what spoil makes of them, and gives its port.
func spoilingHost(t *testing.T, spoil func([]byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			wire, err := r.ReadBytes('\n')
			var m hj212.Message
			if err != nil || m.Parse(wire[6:len(wire)-6]) != nil {
				return
			}
			if _, err := conn.Write(spoil(hj212.AppendDataAck(nil, &m, hj212.DialectHJ))); err != nil {
				return
			}
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func writeClientRegistry(t *testing.T, dir string) string {
	t.Helper()
	csv := "mn,pw,outlet,outlet_name,enterprise,region,medium,minute_interval_min,realtime_interval_s,offline_after_s,tail\n"
	for i, d := range clientDevices {
		medium := "water"
		if d[2] == "31" {
			medium = "gas"
		}
		csv += fmt.Sprintf("%s,%s,C%02d,Client,Test,Region,%s,1,60,600,strict\n", d[1], d[3], i, medium)
	}
	path := filepath.Join(dir, "client.csv")
	if err := os.WriteFile(path, []byte(csv), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runClient runs the client to its end, with during beside it, and wants it to find nothing amiss.
func runClient(t *testing.T, python string, args []string, during func()) clientSummary {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), python, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during()
	}
	err := cmd.Wait()
	var s clientSummary
	if json.Unmarshal(stdout.Bytes(), &s) != nil || err != nil || !s.OK {
		t.Fatalf("client: %v\n%s\n%s%s", err, strings.Join(s.Mismatches, "\n"), tail(stdout.String(), 3000), tail(stderr.String(), 3000))
	}
	t.Logf("client: %s", strings.TrimSpace(stdout.String()))
	return s
}

// checkClientLedger wants every frame that the client got an answer for in the journal, byte for byte.
func checkClientLedger(t *testing.T, cluster *broker.Cluster, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	acked := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		b, err := hex.DecodeString(lines.Text())
		if err != nil {
			t.Fatal(err)
		}
		acked[string(b)] = true
	}
	n := len(acked)
	err = cluster.ReadAll(t.Context(), telemetry.TopicJournal, func(r *kgo.Record) error {
		if header(r, telemetry.HeaderKind) == telemetry.KindFrame.String() {
			delete(acked, string(r.Value))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 || len(acked) > 0 {
		t.Errorf("%d of %d acknowledged frames are not in the journal", len(acked), n)
	}
}

// checkClientFindings wants each odd form that the client sent as a finding.
func checkClientFindings(t *testing.T, cluster *broker.Cluster) {
	t.Helper()
	odd := []string{"no_qn", "qn_not_timestamp", "no_flag", "pno_before_pnum", "flag_after_cp", "no_cp", "segment_over_1024", "crc_lower_case"}
	var found map[string]int
	eventually(t, time.Minute, "a finding for each odd form", func() bool {
		found = map[string]int{}
		err := cluster.ReadAll(t.Context(), telemetry.TopicFindings, func(r *kgo.Record) error {
			var f telemetry.Finding
			if err := json.Unmarshal(r.Value, &f); err != nil {
				return err
			}
			if f.Kind == telemetry.FindingQuality && f.MN == clientDevices[1][1] {
				for name := range strings.SplitSeq(f.Detail, ", ") {
					found[name]++
				}
			}
			if f.Kind == telemetry.FindingReject || f.Kind == telemetry.FindingPackets {
				t.Errorf("a finding that the client gave no cause for: %s", r.Value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range odd {
			if found[name] == 0 {
				return false
			}
		}
		return true
	})
	for _, name := range odd {
		if found[name] != 1 {
			t.Errorf("%s was found %d times, want once a day", name, found[name])
		}
	}
}

// checkClientPackets wants the second packet of the hour that the logger of 2025 sent, which has no time of its own, under the time of the first.
func checkClientPackets(t *testing.T, cluster *broker.Cluster) {
	t.Helper()
	var first, second []string // times of the hour records
	eventually(t, time.Minute, "both packets of an hour as points", func() bool {
		first, second = nil, nil
		err := cluster.ReadAll(t.Context(), telemetry.TopicPoints, func(r *kgo.Record) error {
			for line := range strings.SplitSeq(string(r.Value), "\n") {
				at := line[strings.LastIndexByte(line, ' ')+1:]
				switch {
				case strings.HasPrefix(line, "reported,cn=2061,factor=w01018,mn="+clientDevices[2][1]):
					first = append(first, at)
				case strings.HasPrefix(line, "reported,cn=2061,factor=w21003,mn="+clientDevices[2][1]):
					second = append(second, at)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(first) == 2 && len(second) == 2
	})
	if first[1] != second[1] {
		t.Errorf("the packets' times are %s and %s", first[1], second[1])
	}
}
