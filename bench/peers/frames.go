package main

import (
	"fmt"
	"os"

	"outfall/ingest/hj212"
)

const (
	frameBytes = 600
	password   = "123456"
)

// factors are those of a flue gas outlet (HJ 212-2017 annex B): sixteen values and their marks make, with the header, 39 fields.
var factors = [...]string{"a00000", "a01001", "a01002", "a01006", "a01011", "a01012", "a01013", "a01014",
	"a05001", "a19001", "a21002", "a21005", "a21026", "a24088", "a34013", "a34004"}

// deviceMN is the MN of the i-th logger, 24 characters.
func deviceMN(i int) string { return fmt.Sprintf("010000A8900016F0%08X", i) }

// deviceFrame is the frame that logger i sends: real-time data that ask for an answer, frameBytes on the wire.
func deviceFrame(i int) []byte {
	seg := fmt.Appendf(nil, "QN=20260301080000%03d;ST=31;CN=2011;PW=%s;MN=%s;Flag=5;CP=&&DataTime=20260301080000", i%1000, password, deviceMN(i))
	const end = "&&"
	rest := frameBytes - len("##0000") - len("CCCC\r\n") - len(end) - len(seg)
	for k, code := range factors {
		// The values share the bytes that the names leave.
		left := len(factors) - k
		pair := rest/left - len(";"+"a00000-Rtd="+","+"a00000-Flag=N")
		value := fmt.Sprintf("%d.%09d", i%9+1, (i*7919+k*104729+1)%1_000_000_000)[:pair]
		before := len(seg)
		seg = fmt.Appendf(seg, ";%s-Rtd=%s,%s-Flag=N", code, value, code)
		rest -= len(seg) - before
	}
	return hj212.AppendFrame(nil, append(seg, end...))
}

// writeFrames writes the frames of n loggers, one after the other, for the load client.
func writeFrames(path string, n int) error {
	all := make([]byte, 0, n*frameBytes)
	for i := range n {
		all = append(all, deviceFrame(i)...)
	}
	if len(all) != n*frameBytes {
		return fmt.Errorf("frames of %d loggers have %d bytes, want %d", n, len(all), n*frameBytes)
	}
	return os.WriteFile(path, all, 0o600)
}
