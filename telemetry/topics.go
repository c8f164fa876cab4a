package telemetry

// A Topic is one of the topics that the stages meet over. Its name in Kafka is the configured prefix plus String().
type Topic uint8

const (
	TopicJournal  Topic = iota // key MN; frames as received, other kinds canonical JSON; see Entry
	TopicRejects               // key connection id; bytes that no device of the registry can be charged with
	TopicPoints                // key MN; InfluxDB line protocol, one or more lines
	TopicAlarms                // key MN; Alarm
	TopicFindings              // key MN; Finding
	TopicStatus                // key MN; Status, the latest of the device
	TopicCommands              // key MN; Command and Outcome, told apart by HeaderKind
	TopicRegistry              // key MN; Device; the newest record of a key counts
	TopicActions               // key MN, or none; Action
	topicCount
)

// DefaultPrefix precedes every topic name in Kafka unless kafka.topic_prefix says otherwise.
const DefaultPrefix = "outfall."

var topicNames = [topicCount]string{"journal", "rejects", "points", "alarms", "findings", "status", "commands", "registry", "actions"}

// String is the topic's name without the prefix.
func (t Topic) String() string { return topicNames[t] }

// Topics lists every topic, in the order of the design's table.
func Topics() []Topic {
	all := make([]Topic, topicCount)
	for i := range all {
		all[i] = Topic(i)
	}
	return all
}

// OutputTopics lists the topics that the stream worker alone writes: every record of theirs carries a Position.
func OutputTopics() []Topic {
	return []Topic{TopicPoints, TopicAlarms, TopicFindings, TopicStatus}
}

// PartitionOf is the partition of an MN among n partitions: Kafka's own murmur2 of the key, so that any Kafka client
// agrees with it.
func PartitionOf(mn string, n int32) int32 {
	return int32(murmur2(mn)&0x7fffffff) % n
}

// murmur2 is the hash of Kafka's default partitioner (seed 0x9747b28c, 32 bits).
func murmur2(b string) uint32 {
	const m, r = 0x5bd1e995, 24
	h := uint32(0x9747b28c) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h = h*m ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
