package telemetry

import "slices"

// A Detector names a pattern in one device's data that is worth a look on the spot. The list is closed: it is a metric label. docs/integrity.md
// says of each what it compares, with which threshold, and what guards it against false hits.
type Detector string

// The detectors, with the pattern's usual name.
const (
	DetectConstValue     Detector = "const_value"        // 恒值
	DetectZeroValue      Detector = "zero_value"         // 零值
	DetectNegative       Detector = "negative"           // 负值
	DetectSmallAmplitude Detector = "small_amplitude"    // 小幅波动
	DetectOverRange      Detector = "over_range"         // 超量程
	DetectJump           Detector = "jump"               // 突变
	DetectStepAtLimit    Detector = "step_at_limit"      // 整点前突降
	DetectLimitHugging   Detector = "limit_hugging"      // 贴限
	DetectFlatTop        Detector = "flat_top"           // 削顶
	DetectO2NearAir      Detector = "o2_near_air"        // 含氧量接近空气
	DetectO2LowBias      Detector = "o2_low_bias"        // 含氧量偏低
	DetectPhysContra     Detector = "phys_contra"        // 物理矛盾
	DetectMeanMismatch   Detector = "mean_mismatch"      // 均值不符
	DetectZsMismatch     Detector = "zs_mismatch"        // 折算值不符
	DetectClock          Detector = "clock"              // 时钟异常
	DetectRewrite        Detector = "rewrite"            // 数据改写
	DetectSampleTime     Detector = "sampletime"         // 采样时间不符
	DetectParamChange    Detector = "param_change"       // 参数变更
	DetectRangeAbuse     Detector = "range_abuse"        // 量程不当
	DetectFlagAbuse      Detector = "flag_abuse"         // 数据标记过多
	DetectPeriodicCopy   Detector = "periodic_copy"      // 周期性重复
	DetectStopNotStopped Detector = "stop_not_stopped"   // 标停未停
	DetectDilution       Detector = "dilution"           // 稀释
	DetectNearLOD        Detector = "near_lod"           // 长期接近检出限
	DetectFlowZero       Detector = "flow_zero_sampling" // 采样时流量为零
)

// Detectors lists every Detector, in the order of its number in snapshots: add at the end.
func Detectors() []Detector { return slices.Clone(detectors[:]) }

var detectors = [...]Detector{DetectConstValue, DetectZeroValue, DetectNegative, DetectSmallAmplitude, DetectOverRange, DetectJump, DetectStepAtLimit,
	DetectLimitHugging, DetectFlatTop, DetectO2NearAir, DetectO2LowBias, DetectPhysContra, DetectMeanMismatch, DetectZsMismatch, DetectClock, DetectRewrite,
	DetectSampleTime, DetectParamChange, DetectRangeAbuse, DetectFlagAbuse, DetectPeriodicCopy, DetectStopNotStopped, DetectDilution, DetectNearLOD,
	DetectFlowZero}

// AnomalyState is where an anomaly is in its life.
type AnomalyState string

const (
	AnomalyBegan   AnomalyState = "began"
	AnomalyLasting AnomalyState = "lasting" // said once a day
	AnomalyEnded   AnomalyState = "ended"
)

// An Anomaly is what a finding of kind anomaly says beside its Detail. Field order is the wire form.
type Anomaly struct {
	Detector  Detector     `json:"detector"`
	State     AnomalyState `json:"state"`
	Value     Fixed        `json:"value"`     // what was compared,
	Threshold Fixed        `json:"threshold"` // with what: the detector's unit, see docs/integrity.md
	Source    string       `json:"source"`    // of the threshold: "proposed", "single", "confirmed" or "setting" (of the rule set)
	RuleSet   string       `json:"rule_set"`  // content hash of the rule set in force; empty: none
}
