// Package hj212 is the codec of HJ/T 212-2005, HJ 212-2017 and what is known of HJ 212-2025: frames out of a byte stream, the data
// segment's fields, the CP body's factor groups with exact decimals and its other payloads, the table of commands, and what a host sends:
// requests and the two answers 9013 and 9014.
//
// It is pure: no clock, no I/O, no goroutine. Everything it returns aliases the bytes it was given; copy what must outlive them.
//
//	bytes -> Framer.Next -> Frame -> Message.Parse -> Message -> Groups | Items | Reply | Param
//	Message -> AppendDataAck | AppendNoticeAck | AppendSegment -> bytes
//	LookupCommand -> Command.CheckRequest -> Request -> AppendRequest -> bytes
//
// A fault of the envelope refuses the span of bytes, under a named Reason, and never a good frame beside it. A segment is never
// refused because its content is odd: it is delivered with its Quality.
package hj212
