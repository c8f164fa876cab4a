package hj212

import (
	"math/rand/v2"
	"testing"
)

const mn2017 = "MN=010000A8900016F000169DC0"

// vectors are the segments of the standards and of real devices with their CRC.
var vectors = []struct {
	name, data string
	crc        uint16
}{
	{"V1 annex A 2017; its prose misprints 1C08", "QN=20160801085857223;ST=32;CN=1062;PW=100000;" + mn2017 + ";Flag=5;CP=&&RtdInterval=30&&", 0x1C80},
	{"V2 annex A 2025", "QN=20240601085857223;ST=32;CN=1011;PW=123456;" + mn2017 + ";Flag=9;CP=&&&&", 0x2200},
	{"V3 another message, the same CRC", "QN=20240520210700000;ST=31;CN=2051;PW=123456;" + mn2017 + ";Flag=9;CP=&&DataTime=20240520210600;a01011-Min=1.35,a01011-Avg=1.35,a01011-Max=1.35,a01011-Flag=N;a01012-Min=9.3,a01012-Avg=9.3,a01012-Max=9.3,a01012-Flag=N;a01014-Min=3.20,a01014-Avg=3.211,a01014-Max=3.212,a01014-Flag=N&&", 0x2200},
	{"V4", "QN=20240520210700000;ST=31;CN=2051;PW=123456;" + mn2017 + ";Flag=9;CP=&&DataTime=20240520210600;a01011-Min=1.35,a01011-Avg=1.35,a01011-Max=1.35,a01011-Flag=N;a01014-Min=3.20,a01014-Avg=3.20,a01014-Max=3.20,a01014-Flag=N&&", 0xB541},
	{"V5 2005 example 6", "QN=20040516010101001;ST=32;CN=2051;PW=123456;MN=88888880000001;Flag=3;CP=&&BeginTime=20040506111000,EndTime=20040506151000&&", 0x6B80},
	{"V6", "ST=32;CN=2011;PW=123456;MN=LD130133000015;CP=&&DataTime=20160824003817000;B01-Rtd=36.91;011-Rtd=231.0,011-Flag=N;060-Rtd=1.803,060-Flag=N&&", 0x4980},
	{"V7", "ST=32;CN=2011;PW=000000;MN=LD130133000015;CP=&&DataTime=20160824003817;011-Rtd=231.0,011-Flag=N;B01-Rtd=36.91;060-Rtd=1.803,060-Flag=N&&", 0x1DC0},
	{"V8", "ST=32;CN=2011;PW=123456;MN=0873HHMZWSLH02;CP=&&DataTime=20160103133030;060-Rtd=3.0943,060-Flag=N;011-Rtd=18.0412,011-Flag=N;001-Rtd=8.2137,001-Flag=N;B01-Rtd=10.9890,B01-Flag=N&&", 0xA9C1},
	{"V9", "QN=20231008125115215;ST=22;CN=9011;PW=123456;" + mn2017 + ";Flag=4;CP=&&QnRtn=1&&", 0xCC01},
	{"V10", "QN=20250131202809340;ST=39;CN=2011;PW=123456;MN=0507A010003242;Flag=4;CP=&&DataTime=20250131202809;a34001-Rtd=92;Flag=N&&", 0xBF41},
	{"V11", "QN=20191112091100598;ST=31;CN=2051;PW=123456;MN=14513567846884;PNO=0002;PNUM=0002;CP=&&DataTime=20191112090000;a01006-Avg=101.85,a01006-Min=101.84,a01006-Max=101.87,a01006-ValidNum=10,a01006-TotalNum=10&&", 0x2800},
	{"V12 2017 data ack", "QN=20160801085857223;ST=91;CN=9014;PW=123456;" + mn2017 + ";Flag=4;CP=&&&&", 0x3240},
	{"V13", "QN=20160801085857223;ST=91;CN=9011;PW=123456;" + mn2017 + ";Flag=4;CP=&&QnRtn=1&&", 0x1B00},
	{"V14", "QN=20160801085857223;ST=91;CN=9012;PW=123456;" + mn2017 + ";Flag=4;CP=&&ExeRtn=1&&", 0x6240},
	{"V15 2005 data ack", "ST=91;CN=9014;CP=&&QN=20040516010101001;CN=2051&&", 0x5F00},
	{"V16", "QN=20240601085857223;ST=32;CN=9015;PW=123456;" + mn2017 + ";Flag=9;CP=&&&&", 0xF001},
	{"V17", "QN=20240601085857223;ST=31;CN=2051;PW=123456;" + mn2017 + ";Flag=9;RF=1;CP=&&DataTime=20240601085700;a34013-Avg=3.2,a34013-Flag=N&&", 0x8C41},
	{"V18 UTF-8", "QN=20160801085857223;ST=32;CN=3020;PW=123456;" + mn2017 + ";Flag=5;CP=&&DataTime=20160801085857;PolId=w01018;i11001-Info=//清洗管路//&&", 0x9481},
	{"V19 GBK", "QN=20160801085857223;ST=32;CN=3020;PW=123456;" + mn2017 + ";Flag=5;CP=&&DataTime=20160801085857;PolId=w01018;i11001-Info=//\xC7\xE5\xCF\xB4\xB9\xDC\xC2\xB7//&&", 0xE2C1},
	{"V20 empty", "", 0xFFFF},
	{"V21 one zero byte", "\x00", 0x4040},
	{"V22", "A", 0x7080},
	{"V23 check string; CRC-16/MODBUS has 4B37", "123456789", 0x2F80},
}

func TestCRCVectors(t *testing.T) {
	lengths := map[string]int{"V1 annex A 2017; its prose misprints 1C08": 101, "V2 annex A 2025": 87, "V18 UTF-8": 152, "V19 GBK": 148}
	for _, v := range vectors {
		if got := CRC([]byte(v.data)); got != v.crc {
			t.Errorf("%s: CRC %04X, want %04X", v.name, got, v.crc)
		}
		if n, ok := lengths[v.name]; ok && len(v.data) != n {
			t.Errorf("%s: %d bytes, want %d", v.name, len(v.data), n)
		}
	}
}

func TestCRCIsAnnexA(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, maxData)
	var c checker
	for n := range 2000 {
		data := buf[:rnd.IntN(300)]
		if n%100 == 0 {
			data = buf[:rnd.IntN(len(buf))]
		}
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		if err := c.crc(data, 0); err != nil {
			t.Fatal(err)
		}
	}
}
