package main

import (
	"fmt"
	"strconv"
	"time"

	"outfall/ingest/hj212"
)

// Shape of the data. Every device reports real-time values twice a minute in the backlog and then one minute record a turn.
const (
	samples     = 2               // of a minute and device
	minutesFrom = 40              // of the hour: when the backlog begins, for the devices were switched on then
	minutesOut  = 60              // when the results that count end: the rest lets their windows close
	minutesIn   = 64              // when the backlog ends
	loadAfter   = 180             // minutes from that hour's beginning to the first minute record
	grace       = 90              // seconds from a window's end to its result
	thousandth  = int64(1_000)    // millionths in the values' last decimal
	maxTurns    = 240             // minute records of one device: four hours
	mnPrefix    = "0100S7REAM16B" // eleven digits follow
)

// factors are those of a flue gas outlet (HJ 212-2017 annex B); the first six have a converted value beside the measured one.
var factors = [...]string{"a21002", "a21003", "a21004", "a21026", "a21005", "a34013", "a19001", "a01011", "a01012", "a01014"}

const converted = 6

func deviceMN(i int) string { return fmt.Sprintf("%s%011d", mnPrefix, i) }

// deviceOf is the device of an MN, -1 for one that is not ours.
func deviceOf(mn []byte) int {
	if len(mn) != len(mnPrefix)+11 {
		return -1
	}
	n, err := strconv.Atoi(string(mn[len(mnPrefix):]))
	if err != nil {
		return -1
	}
	return n
}

// valueOf is what a device measures, in thousandths: 1.000 to 99.999. at numbers its samples, and then its minute records.
func valueOf(device, at, factor int) int64 {
	x := uint64(device)<<32 ^ uint64(at)<<8 ^ uint64(factor)
	x = (x ^ x>>31) * 0x9E3779B97F4A7C15
	x = (x ^ x>>29) * 0xBF58476D1CE4E5B9
	return int64(1000 + (x>>33)%99_000)
}

// backlogFrames is how many real-time frames there are of each device.
const backlogFrames = (minutesIn - minutesFrom) * samples

// recordAt is the number, for valueOf, of a device's minute record.
func recordAt(turn int) int { return minutesIn*samples + turn }

func appendValue(dst []byte, v int64) []byte {
	dst = strconv.AppendInt(dst, v/1000, 10)
	v %= 1000
	return append(dst, '.', byte('0'+v/100), byte('0'+v/10%10), byte('0'+v%10))
}

// segment begins a data segment up to the DataTime.
func segment(dst []byte, cn string, device int, at time.Time) []byte {
	dst = append(dst, "QN="...)
	dst = hj212.AppendQN(dst, at)
	dst = append(append(dst, ";ST=31;CN="...), cn...)
	dst = append(append(dst, ";PW=123456;MN="...), deviceMN(device)...)
	dst = append(dst, ";Flag=5;CP=&&DataTime="...)
	return hj212.AppendTime(dst, at)
}

func appendItem(dst []byte, lead byte, code, suffix string, v int64) []byte {
	return appendValue(append(append(append(dst, lead), code...), suffix...), v)
}

// realtimeFrame is a device's n-th upload of real-time values (CN 2011), about 570 bytes.
func realtimeFrame(device, n int, at time.Time) []byte {
	seg := segment(make([]byte, 0, 640), "2011", device, at)
	for f, code := range factors {
		v := valueOf(device, n, f)
		seg = appendItem(seg, ';', code, "-Rtd=", v)
		if f < converted {
			seg = appendItem(seg, ',', code, "-ZsRtd=", v+v/10)
		}
		seg = append(append(append(seg, ','), code...), "-Flag=N"...)
	}
	return hj212.AppendFrame(make([]byte, 0, 700), append(seg, "&&"...))
}

// recordFrame is a device's minute record (CN 2051) of a turn, about 800 bytes; at is the start of its minute.
func recordFrame(device, turn int, at time.Time) []byte {
	seg := segment(make([]byte, 0, 900), "2051", device, at)
	for f, code := range factors {
		v := valueOf(device, recordAt(turn), f)
		seg = appendItem(seg, ';', code, "-Min=", v-v/10)
		seg = appendItem(seg, ',', code, "-Avg=", v)
		seg = appendItem(seg, ',', code, "-Max=", v+v/10)
		seg = append(append(append(seg, ','), code...), "-Flag=N"...)
	}
	return hj212.AppendFrame(make([]byte, 0, 900), append(seg, "&&"...))
}

// meanOf is the mean of a device's values [from, to) in millionths, rounded half to even.
func meanOf(device, from, to, factor int) int64 {
	sum := int64(0)
	for at := from; at < to; at++ {
		sum += valueOf(device, at, factor)
	}
	return divEven(sum*thousandth, int64(to-from))
}

// divEven is a/b rounded half to even; a >= 0, b > 0.
func divEven(a, b int64) int64 {
	q, r := a/b, a%b
	if 2*r > b || 2*r == b && q%2 == 1 {
		q++
	}
	return q
}
