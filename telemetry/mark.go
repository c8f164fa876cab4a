package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// MarkVersion is the version of the wire form of Mark. A reader passes over a mark of a greater one.
const MarkVersion = 1

// Bounds of a Mark.
const (
	MaxMarkFactors = 64                   // factors named by one mark
	MaxMarkSpan    = 366 * 24 * time.Hour // from its beginning to its end; a longer state is marked again
	maxMarkText    = 200                  // bytes of a text field
)

// A MarkKind is a state of a plant or of its monitoring that somebody declares for a time (标记). The list is closed; what the declarer's own
// system calls it travels beside it, as received.
type MarkKind string

// The kinds, in the words of the marking rules; docs/marks.md says where each comes from, and what it does by itself.
const (
	MarkStopped      MarkKind = "stopped"      // 停运
	MarkStartUp      MarkKind = "start_up"     // 启炉
	MarkShutDown     MarkKind = "shut_down"    // 停炉
	MarkHeatUp       MarkKind = "heat_up"      // 烘炉
	MarkCoolDown     MarkKind = "cool_down"    // 停炉降温
	MarkFault        MarkKind = "fault"        // 故障, of the plant
	MarkAccident     MarkKind = "accident"     // 事故
	MarkNormal       MarkKind = "normal"       // 正常运行
	MarkConnected    MarkKind = "connected"    // 并网/供能
	MarkDisconnected MarkKind = "disconnected" // 解列
	MarkProduction   MarkKind = "production"   // 生产设施工况
	MarkTreatment    MarkKind = "treatment"    // 治理设施工况
	MarkMaintenance  MarkKind = "maintenance"  // 自动监测设备维护; Sub says which
	MarkNoLink       MarkKind = "no_link"      // 通讯中断
	MarkManual       MarkKind = "manual"       // 手工监测值录入
	MarkNotLiable    MarkKind = "not_liable"   // 非排污单位责任缺失; Sub says why
	MarkSwitched     MarkKind = "switched"     // CEMS主备切换
	MarkFurnaceTemp  MarkKind = "furnace_temp" // 炉温异常
	MarkThermocouple MarkKind = "thermocouple" // 热电偶故障
)

// A MarkEffect is what a kind does by itself, without a rule that says otherwise.
type MarkEffect uint8

const (
	EffectNone     MarkEffect = iota // it is kept, and keeps a window from being judged where a rule names it
	EffectUnjudged                   // windows that it touches are not judged; their data stay in the means
	EffectNoData                     // data of its time enter no mean
)

// A markKind is one row of the table of kinds.
type markKind struct {
	kind   MarkKind
	name   string // Chinese
	effect MarkEffect
	subs   []string // what Sub may be; the order is that of the source
}

var markKinds = [...]markKind{
	{MarkStopped, "停运", EffectUnjudged, nil},
	{MarkStartUp, "启炉", EffectUnjudged, nil},
	{MarkShutDown, "停炉", EffectUnjudged, nil},
	{MarkHeatUp, "烘炉", EffectUnjudged, nil},
	{MarkCoolDown, "停炉降温", EffectUnjudged, nil},
	{MarkFault, "故障", EffectUnjudged, nil},
	{MarkAccident, "事故", EffectUnjudged, nil},
	{MarkNormal, "正常运行", EffectNone, nil},
	{MarkConnected, "并网/供能", EffectNone, nil},
	{MarkDisconnected, "解列", EffectNone, nil},
	{MarkProduction, "生产设施工况", EffectNone, nil},
	{MarkTreatment, "治理设施工况", EffectNone, nil},
	{MarkMaintenance, "自动监测设备维护", EffectNoData, []string{"calibration", "fault", "routine", "check"}}, // 校准, 故障, 日常维护, 标样核查
	{MarkNoLink, "通讯中断", EffectNoData, nil},
	{MarkManual, "手工监测值录入", EffectNoData, []string{"own", "enforcement"}},                       // monitor_type 1, 2
	{MarkNotLiable, "非排污单位责任缺失", EffectNoData, []string{"force_majeure", "long_stop", "other"}}, // majeure_type 1, 2, 3
	{MarkSwitched, "CEMS主备切换", EffectNoData, nil},
	{MarkFurnaceTemp, "炉温异常", EffectNoData, nil},
	{MarkThermocouple, "热电偶故障", EffectNoData, nil},
}

// MarkKinds lists every MarkKind.
func MarkKinds() []MarkKind {
	all := make([]MarkKind, len(markKinds))
	for i := range markKinds {
		all[i] = markKinds[i].kind
	}
	return all
}

func (k MarkKind) row() *markKind {
	for i := range markKinds {
		if markKinds[i].kind == k {
			return &markKinds[i]
		}
	}
	return nil
}

// ParseMarkKind reads a kind by its id or by its Chinese name.
func ParseMarkKind(text string) (k MarkKind, ok bool) {
	for i := range markKinds {
		if row := &markKinds[i]; string(row.kind) == text || row.name == text {
			return row.kind, true
		}
	}
	return "", false
}

// Name is the kind's Chinese name; empty for a kind that is none.
func (k MarkKind) Name() string {
	if row := k.row(); row != nil {
		return row.name
	}
	return ""
}

// Effect is what the kind does by itself.
func (k MarkKind) Effect() MarkEffect {
	if row := k.row(); row != nil {
		return row.effect
	}
	return EffectNone
}

// Subs are the sub-types of the kind, none for most.
func (k MarkKind) Subs() []string {
	if row := k.row(); row != nil {
		return row.subs
	}
	return nil
}

// A Mark declares the state of a plant, of one of its units, or of its monitoring, for a time: one device's entry of the journal, as KindMark.
// It has two times: From and To say when the state was, the entry's place in the journal when it became known. A mark is never changed: a
// later one replaces it, or revokes it. Field order is the wire form.
type Mark struct {
	V  int    `json:"v"`  // MarkVersion
	ID string `json:"id"` // unique; 1..64 characters of 0-9 A-Z a-z - _
	MN string `json:"mn"`
	// Unit is the production or treatment unit whose state it is; empty: the monitoring's own, or the whole plant's.
	Unit string   `json:"unit,omitempty"`
	Kind MarkKind `json:"kind"`
	Sub  string   `json:"sub,omitempty"` // one of Kind.Subs
	// Code, Name, SubCode and SubName are what the declarer's system calls kind and sub-type, as received: their numbers are not published.
	Code    string `json:"code,omitempty"`
	Name    string `json:"name,omitempty"`
	SubCode string `json:"sub_code,omitempty"`
	SubName string `json:"sub_name,omitempty"`
	// Factors are the codes that it is about, as in outputs; none: all of the device.
	Factors []string   `json:"factors,omitempty"`
	From    time.Time  `json:"from"`         // UTC
	To      *time.Time `json:"to,omitempty"` // the first moment after it; null: it still lasts
	Auto    bool       `json:"auto,omitempty"`
	Proof   string     `json:"proof,omitempty"` // id of the documents that show it
	// Replaces is the id of an earlier mark of the device that this one takes the place of.
	Replaces string `json:"replaces,omitempty"`
	// Revoked says that what Replaces names was wrong, and that nothing comes in its place.
	Revoked bool      `json:"revoked,omitempty"`
	Who     string    `json:"who"`            // 1..64 bytes
	When    time.Time `json:"when"`           // UTC, when Who declared it
	Text    string    `json:"text,omitempty"` // at most 1024 bytes
}

// Validate reports every fault of m at once; each begins with the JSON name of its field.
func (m *Mark) Validate() error {
	var errs []error
	bad := func(field, format string, a ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{field}, a...)...))
	}
	if m.V != MarkVersion {
		bad("v", "%d is not %d", m.V, MarkVersion)
	}
	if !wordOf(m.ID, 64, wordByte) {
		bad("id", "%q is not 1..64 characters of 0-9 A-Z a-z - _", m.ID)
	}
	if !ValidMN(m.MN) {
		bad("mn", "%q cannot be a device id", m.MN)
	}
	if m.Who == "" || len(m.Who) > 64 {
		bad("who", "%q is not 1..64 bytes", m.Who)
	}
	if m.When.IsZero() {
		bad("when", "is missing")
	}
	if len(m.Text) > 1024 || !utf8.ValidString(m.Text) {
		bad("text", "has more than 1024 bytes, or is not UTF-8")
	}
	m.validateState(bad)
	return errors.Join(errs...)
}

// validateState checks what is declared of when.
func (m *Mark) validateState(bad func(field, format string, a ...any)) {
	if m.Kind.row() == nil {
		bad("kind", "%q is none of %v", m.Kind, MarkKinds())
	} else if m.Sub != "" && !slices.Contains(m.Kind.Subs(), m.Sub) {
		bad("sub", "%q is none of %v", m.Sub, m.Kind.Subs())
	}
	for _, t := range [...]struct{ field, text string }{{"unit", m.Unit}, {"code", m.Code}, {"name", m.Name}, {"sub_code", m.SubCode},
		{"sub_name", m.SubName}, {"proof", m.Proof}} {
		if len(t.text) > maxMarkText || !utf8.ValidString(t.text) {
			bad(t.field, "has more than %d bytes, or is not UTF-8", maxMarkText)
		}
	}
	if len(m.Factors) > MaxMarkFactors {
		bad("factors", "are %d, at most %d", len(m.Factors), MaxMarkFactors)
	}
	for _, f := range m.Factors {
		if f == "" || len(f) > 64 {
			bad("factors", "%q is no factor code", f)
		}
	}
	switch {
	case m.From.IsZero():
		bad("from", "is missing")
	case m.To != nil && !m.To.After(m.From):
		bad("to", "is not after from")
	case m.To != nil && m.To.Sub(m.From) > MaxMarkSpan:
		bad("to", "is more than %d days after from", MaxMarkSpan/(24*time.Hour))
	}
	if m.Replaces != "" && !wordOf(m.Replaces, 64, wordByte) {
		bad("replaces", "%q is not 1..64 characters of 0-9 A-Z a-z - _", m.Replaces)
	}
	if m.Replaces == m.ID {
		bad("replaces", "is the mark itself")
	}
	if m.Revoked && m.Replaces == "" {
		bad("replaces", "is missing: which mark is revoked?")
	}
}
