package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"outfall/deploy/sample"
	"outfall/ingest/hj212"
	"outfall/rules"
	"outfall/rules/rulefile"
	"outfall/telemetry"
)

const (
	partitions = 8
	cities     = 16       // that the regions of the devices name
	password   = "123456" // of every device
	alarmRule  = "w-cod-instant"
)

// codes are the factors of a device, water (HJ 212-2017 annex B), and levels what they are about, in hundredths: within the limits of the
// rules, as most outlets are. The first is the one that alarms.
var (
	codes  = [...]string{"w01018", "w21003", "w21011", "w21001", "w01001", "w00000", "w01010", "w01009", "w01014", "w01012"}
	levels = [...]int{2500, 150, 20, 900, 700, 30_000, 1800, 500, 400, 1200}
)

// over is a value of the first factor beyond its limit of 50 mg/L, in hundredths.
const over = 6000

// ruleSource is the sample's rule file, with a real-time rule that takes one value instead of four: an alarm with every frame that is over.
func ruleSource() ([]byte, error) {
	const four, one = "alarm: {after: 4, clear_after: 4, clear_below: 0.95}", "alarm: {after: 1, clear_after: 1, clear_below: 0.95}"
	at := bytes.Index(sample.Rules, []byte("id: "+alarmRule))
	if at < 0 || !bytes.Contains(sample.Rules[at:], []byte(four)) {
		return nil, fmt.Errorf("the sample's rules have no %s with %q", alarmRule, four)
	}
	head, rest := sample.Rules[:at], sample.Rules[at:]
	return append(bytes.Clone(head), bytes.Replace(rest, []byte(four), []byte(one), 1)...), nil
}

func ruleSet() (*rules.RuleSet, error) {
	src, err := ruleSource()
	if err != nil {
		return nil, err
	}
	return rulefile.Parse("rules.yaml", src)
}

func deviceMN(i int) string { return fmt.Sprintf("5201ENG1NE%014d", i) }

// registration is what the registry has about a device. It counts as online for a day, so that those that do not send stay as they are.
func registration(i int) telemetry.Device {
	return telemetry.Device{MN: deviceMN(i), PW: password, Outlet: fmt.Sprintf("E%06d", i), OutletName: "总排口", Enterprise: fmt.Sprintf("第%d污水处理厂", i),
		Region: region(i % cities), Medium: "water", MinuteInterval: 1, RealtimeInterval: 30, OfflineAfter: 86_400}
}

func region(city int) string { return fmt.Sprintf("某省/%02d市", city) }

// registryCSV is the first n devices as "outfall registry import" takes them.
func registryCSV(n int) []byte {
	var b strings.Builder
	b.WriteString("mn,pw,outlet,outlet_name,enterprise,region,medium,minute_interval_min,realtime_interval_s,offline_after_s,tail\n")
	for i := range n {
		d := registration(i)
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s,%s,%d,%d,%d,strict\n", d.MN, d.PW, d.Outlet, d.OutletName, d.Enterprise, d.Region, d.Medium, d.MinuteInterval,
			d.RealtimeInterval, d.OfflineAfter)
	}
	return []byte(b.String())
}

// noise is a number below n that follows from what it is for.
func noise(device int, at time.Time, factor, n int) int {
	x := uint64(device)<<40 ^ uint64(at.Unix())<<8 ^ uint64(factor)
	x = (x ^ x>>31) * 0x9E3779B97F4A7C15
	x = (x ^ x>>29) * 0xBF58476D1CE4E5B9
	return int((x >> 33) % uint64(n))
}

func appendHundredths(dst []byte, v int) []byte {
	dst = appendInt(dst, v/100)
	return append(dst, '.', byte('0'+v/10%10), byte('0'+v%10))
}

func appendInt(dst []byte, v int) []byte {
	if v >= 10 {
		dst = appendInt(dst, v/10)
	}
	return append(dst, byte('0'+v%10))
}

func segment(dst []byte, cn, mn string, sent, at time.Time) []byte {
	dst = hj212.AppendQN(append(dst, "QN="...), sent)
	dst = append(append(append(dst, ";ST=32;CN="...), cn...), ";PW="+password+";MN="...)
	return hj212.AppendTime(append(append(dst, mn...), ";Flag=5;CP=&&DataTime="...), at)
}

// valueOf is what a device measures, in hundredths.
func valueOf(device int, at time.Time, factor int) int {
	return levels[factor] + noise(device, at, factor, 2+levels[factor]/20)
}

// appendRealtime appends a frame of real-time values (CN 2011), about 430 bytes; high: the first is over its limit.
func appendRealtime(dst []byte, device int, mn string, sent, at time.Time, high bool) []byte {
	seg := segment(make([]byte, 0, 512), "2011", mn, sent, at)
	for f, code := range codes {
		v := valueOf(device, at, f)
		if high && f == 0 {
			v = over
		}
		seg = appendHundredths(append(append(append(seg, ';'), code...), "-Rtd="...), v)
		seg = append(append(append(seg, ','), code...), "-Flag=N"...)
	}
	return hj212.AppendFrame(dst, append(seg, "&&"...))
}

// appendMinute appends a minute record (CN 2051), about 780 bytes; at is the start of its minute.
func appendMinute(dst []byte, device int, mn string, sent, at time.Time) []byte {
	seg := segment(make([]byte, 0, 896), "2051", mn, sent, at)
	for f, code := range codes {
		v, spread := valueOf(device, at, f), 1+levels[f]/20
		seg = appendHundredths(append(append(append(seg, ';'), code...), "-Min="...), max(0, v-noise(device, at, f+16, spread)))
		seg = appendHundredths(append(append(append(seg, ','), code...), "-Avg="...), v)
		seg = appendHundredths(append(append(append(seg, ','), code...), "-Max="...), v+noise(device, at, f+32, spread))
		seg = append(append(append(seg, ','), code...), "-Flag=N"...)
	}
	return hj212.AppendFrame(dst, append(seg, "&&"...))
}

// minuteOf calls tick with every second of a minute and, behind it, frame with what the devices send in it: real-time values twice and the
// record of the minute before once, each device at its own seconds.
func minuteOf(start time.Time, devices int, tick func(at time.Time), frame func(device int, at time.Time, record bool)) {
	for sec := range 60 {
		at := start.Add(time.Duration(sec) * time.Second)
		tick(at)
		for i := sec % 30; i < devices; i += 30 {
			frame(i, at, false)
		}
		for i := (sec + 55) % 60; i < devices; i += 60 {
			frame(i, at, true)
		}
	}
}

// appendFrame appends the frame that minuteOf asks for.
func appendFrame(dst []byte, device int, mn string, at time.Time, record bool) []byte {
	if record {
		return appendMinute(dst, device, mn, at, at.Truncate(time.Minute).Add(-time.Minute))
	}
	return appendRealtime(dst, device, mn, at, at, false)
}

func tickValue(at time.Time) []byte { return telemetry.AppendJSON(nil, telemetry.Tick{Time: at}) }
