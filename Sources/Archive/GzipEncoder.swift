import CZlib
import Report

/// Packs into one gzip member without name or time: the same bytes in give the same bytes out.
public final class GzipEncoder: ByteSink {
    private let sink: any ByteSink
    private let output: UnsafeMutableRawBufferPointer
    private let stream: UnsafeMutablePointer<z_stream>

    /// Makes an encoder that writes into `sink`.
    public init(into sink: any ByteSink, level: Int32 = 6) throws {
        self.sink = sink
        output = .allocate(byteCount: 1 << 17, alignment: 64)
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let status = deflateInit2_(
            stream,
            level,
            Z_DEFLATED,
            15 + 16,
            8,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
        guard status == Z_OK else { throw Failure(.software, "zlib cannot start: error \(status)") }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
        output.deallocate()
    }

    /// Packs the bytes.
    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        // zlib counts in 32 bits.
        while !rest.isEmpty {
            let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
            // zlib's type is not const, but it only reads.
            stream.pointee.next_in = UnsafeMutableRawPointer(mutating: piece.baseAddress)?.assumingMemoryBound(
                to: UInt8.self)
            stream.pointee.avail_in = UInt32(piece.count)
            while stream.pointee.avail_in > 0 { try deflateOnce(Z_NO_FLUSH) }
        }
    }

    /// Ends the member and finishes the sink.
    public func finish() throws {
        stream.pointee.avail_in = 0
        while try deflateOnce(Z_FINISH) != Z_STREAM_END {}
        try sink.finish()
    }

    @discardableResult
    private func deflateOnce(_ flush: Int32) throws -> Int32 {
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(output.count)
        let status = deflate(stream, flush)
        guard status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR else {
            throw Failure(.software, "zlib cannot pack: error \(status)")
        }
        let count = output.count - Int(stream.pointee.avail_out)
        if count > 0 { try sink.write(UnsafeRawBufferPointer(rebasing: output[..<count])) }
        return status
    }
}
