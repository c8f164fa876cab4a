//go:build integration

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// influxQL is an InfluxDB that answers InfluxQL: 1.8, or 2.x, where db is the bucket.
type influxQL struct{ url, db, token string }

// A rawSeries is a part of an answer: the points of one series, in order of time.
type rawSeries struct {
	Name    string            `json:"name"`
	Tags    map[string]string `json:"tags"`
	Columns []string          `json:"columns"`
	Values  [][]any           `json:"values"`
}

// query runs one statement and calls fn with the answer's parts as they come, times in nanoseconds.
func (i influxQL) query(t *testing.T, statement string, fn func(rawSeries)) {
	t.Helper()
	form := url.Values{"db": {i.db}, "q": {statement}, "epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {"10000"}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+"/query?"+form.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if i.token != "" {
		req.Header.Set("Authorization", "Token "+i.token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		t.Fatalf("%s: %s %s", statement, resp.Status, text)
	}
	dec := json.NewDecoder(resp.Body)
	dec.UseNumber()
	for {
		var answer struct {
			Error   string `json:"error"`
			Results []struct {
				Error  string      `json:"error"`
				Series []rawSeries `json:"series"`
			} `json:"results"`
		}
		if err := dec.Decode(&answer); errors.Is(err, io.EOF) {
			return
		} else if err != nil || answer.Error != "" {
			t.Fatalf("%s: %v %s", statement, err, answer.Error)
		}
		for _, r := range answer.Results {
			if r.Error != "" {
				t.Fatalf("%s: %s", statement, r.Error)
			}
			for _, s := range r.Series {
				fn(s)
			}
		}
	}
}

// A pointKey is a measurement with its tags in order, and a time: what makes a point one.
type pointKey struct{ series, time string }

// A pointSet is points and their fields; numbers have one spelling, strings a quote before them.
type pointSet map[pointKey]map[string]string

// checkInfluxPoints wants InfluxDB to hold every point of points.lp, each once and with the values written last, and no other of its devices.
func checkInfluxPoints(t *testing.T, db influxQL, path string) {
	t.Helper()
	points, fields, wrong := comparePoints(t, db, path)
	t.Logf("InfluxDB: %d points with %d fields compared, %d wrong", points, fields, len(wrong))
	if points == 0 || len(wrong) > 0 {
		t.Errorf("InfluxDB: %d points, of which %d are not as published last:\n%s", points, len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
	}
}

// comparePoints counts what it compared and tells each difference.
func comparePoints(t *testing.T, db influxQL, path string) (points, fields int, wrong []string) {
	t.Helper()
	const rounds = 8 // a share of the devices at a time, for the memory's sake
	for round := range uint32(rounds) {
		want, measurements, mns := readPoints(t, path, func(mn string) bool {
			h := fnv.New32a()
			io.WriteString(h, mn)
			return h.Sum32()%rounds == round
		})
		points += len(want)
		for _, m := range measurements {
			for _, mn := range mns {
				db.query(t, fmt.Sprintf(`SELECT * FROM %q WHERE "mn" = '%s' GROUP BY *`, m, mn), func(s rawSeries) {
					series := seriesKey(s.Name, s.Tags)
					for _, row := range s.Values {
						key := pointKey{series, row[0].(json.Number).String()}
						have := answeredFields(s.Columns, row)
						fields += len(have)
						if w, ok := want[key]; !ok {
							wrong = append(wrong, fmt.Sprintf("holds %s %s %v, once more than published", key.series, key.time, have))
						} else if !maps.Equal(w, have) {
							wrong = append(wrong, fmt.Sprintf("holds %s %s %v, published last was %v", key.series, key.time, have, w))
						}
						delete(want, key)
					}
				})
			}
		}
		for key, w := range want {
			wrong = append(wrong, fmt.Sprintf("lacks %s %s %v", key.series, key.time, w))
		}
	}
	return points, fields, wrong
}

// The comparison itself must see every kind of difference.
func TestComparePoints(t *testing.T) {
	const lines = `mean,factor=a\ b,mn=M1,stat=minute avg=1.50,rev=0i,flag="x \"y\"" 1
mean,factor=a\ b,mn=M1,stat=minute avg=2.5,rev=1i 1
mean,factor=a\ b,mn=M1,stat=minute avg=3,valid=true 2
`
	path := filepath.Join(t.TempDir(), "points.lp")
	if err := os.WriteFile(path, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	const head = `{"results":[{"series":[{"name":"mean","tags":{"factor":"a b","mn":"M1","stat":"minute","outlet":""},
		"columns":["time","avg","rev","flag","valid"],"values":[`
	one, two := `[1,2.5,1,"x \"y\"",null]`, `[2,3,null,null,true]`
	for values, want := range map[string]string{
		one + "," + two:             "",
		one:                         "lacks mean,factor=a b,mn=M1,stat=minute 2",
		one + "," + two + "," + two: "once more than published",
		one + "," + two + ",[3,1,null,null,null]": "once more than published",
		`[1,1.5,1,"x \"y\"",null],` + two:         "published last was",
		`[1,2.5,1,"x",null],` + two:               "published last was",
		`[1,2.5,1,null,null],` + two:              "published last was",
		one + `,[2,3,0,null,true]`:                "published last was",
		one + `,[2,3,null,null,false]`:            "published last was",
		strings.Replace(one, "1,2.5", "2,2.5", 1) + "," + strings.Replace(two, "2,3", "1,3", 1): "published last was",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, head+values+"]}]}]}") }))
		points, _, wrong := comparePoints(t, influxQL{url: server.URL, db: "d"}, path)
		server.Close()
		if points != 2 || (want == "") != (len(wrong) == 0) || !strings.Contains(strings.Join(wrong, "\n"), want) {
			t.Errorf("InfluxDB holds %s: %d points, %q, want %q", values, points, wrong, want)
		}
	}
}

func answeredFields(columns []string, row []any) map[string]string {
	fields := map[string]string{}
	for i, v := range row[1:] {
		switch v := v.(type) {
		case json.Number:
			fields[columns[i+1]] = oneSpelling(v.String())
		case bool:
			fields[columns[i+1]] = strconv.FormatBool(v)
		case string:
			fields[columns[i+1]] = `"` + v
		}
	}
	return fields
}

// oneSpelling is the shortest form of a number's 64-bit float.
func oneSpelling(number string) string {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return "?" + number
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

func seriesKey(measurement string, tags map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if tags[name] != "" {
			measurement += "," + name + "=" + tags[name]
		}
	}
	return measurement
}

// readPoints reads the chosen devices' points of a file of line protocol. A point that is written again keeps the fields that are not.
func readPoints(t *testing.T, path string, chosen func(mn string) bool) (set pointSet, measurements, mns []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	set = pointSet{}
	of, from := map[string]bool{}, map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, mn, _ := strings.Cut(lines.Text(), ",mn=") // before the rest is taken apart: most lines are another round's
		if mn = mn[:strings.IndexAny(mn, ", ")]; !chosen(mn) {
			continue
		}
		head, rest := cutUnescaped(lines.Text(), ' ')
		parts := splitUnescaped(head, ',')
		tags := map[string]string{}
		for _, tag := range parts[1:] {
			name, value := cutUnescaped(tag, '=')
			tags[unescape(name)] = unescape(value)
		}
		measurement := unescape(parts[0])
		of[measurement], from[tags["mn"]] = true, true
		at := strings.LastIndexByte(rest, ' ')
		key := pointKey{seriesKey(measurement, tags), rest[at+1:]}
		if set[key] == nil {
			set[key] = map[string]string{}
		}
		for _, field := range splitFields(rest[:at]) {
			name, value := cutUnescaped(field, '=')
			set[key][unescape(name)] = fieldValue(value)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return set, slices.Sorted(maps.Keys(of)), slices.Sorted(maps.Keys(from))
}

func fieldValue(v string) string {
	switch {
	case v[0] == '"':
		return `"` + strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(v[1:len(v)-1])
	case v == "true" || v == "false":
		return v
	}
	return oneSpelling(strings.TrimSuffix(v, "i"))
}

// cutUnescaped cuts at the first sep that no backslash precedes.
func cutUnescaped(s string, sep byte) (before, after string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func splitUnescaped(s string, sep byte) (parts []string) {
	for s != "" {
		var part string
		part, s = cutUnescaped(s, sep)
		parts = append(parts, part)
	}
	return parts
}

// splitFields splits at commas outside quotes.
func splitFields(s string) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return strings.NewReplacer(`\,`, `,`, `\=`, `=`, `\ `, ` `).Replace(s)
}
