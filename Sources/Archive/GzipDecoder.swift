import CZlib
import Report

/// Unpacks gzip (RFC 1952): all members one after the other, as one stream. Anything behind the last member is an error.
public final class GzipDecoder: ByteSource {
    private let source: any ByteSource
    private let limits: DecompressionLimits
    private let place: String
    private let input: UnsafeMutableRawBufferPointer
    private let stream: UnsafeMutablePointer<z_stream>
    private var isInsideMember = true
    private var isAtEnd = false
    private var packed: Int64 = 0
    private var unpacked: Int64 = 0

    /// Makes a decoder of `source`; `place` names it in messages.
    public init(_ source: any ByteSource, limits: DecompressionLimits = .standard, place: String) throws {
        self.source = source
        self.limits = limits
        self.place = place
        input = .allocate(byteCount: 1 << 16, alignment: 64)
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        // 16 more than the window's log: a gzip wrapping is expected, and its checksum verified.
        let status = inflateInit2_(stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        guard status == Z_OK else { throw Failure(.system, "zlib cannot start: error \(status)", at: place) }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
        input.deallocate()
    }

    /// Unpacks the next bytes.
    ///
    /// - Throws: `Failure` of kind `integrity` when the stream is damaged, ends too early or goes beyond a limit.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !isAtEnd, !buffer.isEmpty else { return 0 }
        stream.pointee.next_out = buffer.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let room = UInt32(clamping: buffer.count)
        stream.pointee.avail_out = room
        while stream.pointee.avail_out == room {
            if stream.pointee.avail_in == 0, try !refill() { return 0 }
            if !isInsideMember { try beginMember() }
            switch inflate(stream, Z_NO_FLUSH) {
            case Z_OK, Z_BUF_ERROR: break
            case Z_STREAM_END: isInsideMember = false
            default:
                let reason = stream.pointee.msg.map { String(cString: $0) } ?? "unknown error"
                throw Failure(.integrity, "is not valid gzip: \(reason)", at: place)
            }
        }
        let count = Int(room - stream.pointee.avail_out)
        unpacked += Int64(count)
        try limits.check(packed: packed, unpacked: unpacked, place: place)
        return count
    }

    private func refill() throws -> Bool {
        let count = try source.read(into: input)
        guard count > 0 else {
            guard !isInsideMember else { throw Failure(.integrity, "ends in the middle of the gzip stream", at: place) }
            isAtEnd = true
            return false
        }
        packed += Int64(count)
        stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(count)
        return true
    }

    private func beginMember() throws {
        guard stream.pointee.next_in?.pointee == 0x1f else {
            throw Failure(.integrity, "has bytes behind the end of the gzip stream", at: place)
        }
        guard inflateReset(stream) == Z_OK else { throw Failure(.software, "zlib cannot go on", at: place) }
        isInsideMember = true
    }
}
